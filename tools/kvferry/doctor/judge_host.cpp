#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "doctor/judge.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
// The default of --available-memory.
constexpr std::uint64_t kDefaultPool = 4 * kGiB;
// A pool of a few layers and the program itself; less is of no use to anybody.
constexpr std::uint64_t kLittleMemory = 256 * kMiB;
// What containers get where nobody asks for more.
constexpr std::uint64_t kContainerShm = 64 * kMiB;

std::string bytes_or(const std::optional<std::uint64_t>& bytes, const char* otherwise) {
  return bytes ? format_bytes(*bytes) : otherwise;
}

Check namespaces(const SystemFacts& facts) {
  std::vector<std::string> own, unknown;
  for (const NamespaceFact& space : facts.namespaces) {
    if (!space.initial) unknown.push_back(space.kind);
    if (space.initial && !*space.initial) own.push_back(space.kind);
  }
  Check check{"system", "namespaces", State::ok, "the machine's own", {}, {}};
  if (facts.namespaces.empty()) check.value = "not readable";
  if (!own.empty()) {
    check.state = State::note;
    check.value = fmt::format("own {}", fmt::join(own, ", "));
    check.meaning =
        "processes in other namespaces are reached only through a shared directory; one in another "
        "pid namespace cannot read attached private memory here";
    check.advice =
        "between containers: mount the directory of the Unix socket into both (serve --socket), "
        "and run both as the same user of the machine";
  }
  if (!unknown.empty()) check.value += fmt::format(" (not known: {})", fmt::join(unknown, ", "));
  return check;
}

Check user_ids(const SystemFacts& facts) {
  Check check{"system", "user", State::ok, fmt::format("uid {}", facts.uid), {}, {}};
  if (facts.user_ids && *facts.user_ids < UINT32_MAX) {
    check.value += fmt::format(", in a user namespace of {}", counted(*facts.user_ids, "id"));
    check.meaning = "peers must be the same user as the kernel outside counts it";
  }
  return check;
}

Check huge_pages(const MemoryFacts& facts) {
  Check check{"memory", "huge pages", State::ok, {}, {}, {}};
  check.value =
      fmt::format("pools {} pages of 2 MiB (enabled={}, shmem_enabled={})",
                  facts.collapses ? "get" : "do not get", facts.thp.empty() ? "?" : facts.thp,
                  facts.shmem_thp.empty() ? "?" : facts.shmem_thp);
  if (facts.collapses) return check;
  check.state = State::note;
  check.meaning =
      "with 4 KiB pages scattered rows are slower by 4 to 12 %, and mapping takes longer";
  check.advice =
      "Linux 6.1 or newer; before it, as root: echo advise > "
      "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  return check;
}

Check reserved_pages(const MemoryFacts& facts) {
  const std::uint64_t count = facts.huge_total.value_or(0);
  Check check{"memory", "reserved huge pages", State::ok, "none", {}, {}};
  if (count == 0) return check;
  check.value = fmt::format("{} of {}, {} free", count, bytes_or(facts.huge_bytes, "?"),
                            facts.huge_free.value_or(0));
  check.meaning = "kvferry does not use them; they are missing from what pools can have";
  return check;
}

Check free_memory(const MemoryFacts& facts) {
  Check check{"memory", "free", State::ok, {}, {}, {}};
  check.value = fmt::format("{} of {}", bytes_or(facts.available, "unknown"),
                            bytes_or(facts.total, "unknown"));
  if (!facts.available) return check;
  if (*facts.available < kLittleMemory) {
    check.state = State::warning;
    check.meaning = "hardly any host pool can be allocated";
    check.advice = "end other programs, or raise the memory limit of the cgroup (container)";
  } else if (*facts.available < kDefaultPool) {
    check.state = State::note;
    check.meaning = "the default pool of 4 GiB does not fit into host memory";
    check.advice =
        fmt::format("kvferry serve --available-memory {:.2f}",
                    static_cast<double>(*facts.available) / 2 / static_cast<double>(kGiB));
  }
  return check;
}

Check shared_memory(const MemoryFacts& facts) {
  Check check{"memory", "/dev/shm", State::ok, "not there", {}, {}};
  if (!facts.shm_bytes) return check;
  check.value =
      fmt::format("{}, {} free", format_bytes(*facts.shm_bytes), bytes_or(facts.shm_free, "?"));
  if (*facts.shm_bytes > kContainerShm) return check;
  check.state = State::note;
  check.meaning =
      "kvferry's pools are memfds and do not count against it; other programs (NCCL) need it";
  check.advice = "containers: --shm-size=8g, or --ipc=host";
  return check;
}

}  // namespace

std::vector<Check> judge_system(const SystemFacts& facts) {
  Check container{"system", "container", State::ok, "no sign of one", {}, {}};
  if (!facts.container.empty()) {
    container.value = fmt::format("yes: {}", facts.container);
    container.meaning = "another container is reached through a directory that both mount";
  }
  return {{"system",
           "kernel",
           State::ok,
           fmt::format("Linux {} {}", facts.kernel, facts.machine),
           {},
           {}},
          std::move(container),
          namespaces(facts),
          user_ids(facts)};
}

std::vector<Check> judge_memory(const MemoryFacts& facts) {
  return {free_memory(facts),
          {"memory", "cgroup limit", State::ok, bytes_or(facts.cgroup_limit, "none"), {}, {}},
          shared_memory(facts),
          huge_pages(facts),
          reserved_pages(facts)};
}

std::vector<Check> judge_cpu(const CpuFacts& facts) {
  Check cores{"cpu", "cores", State::ok, fmt::format("{} of {}", facts.usable, facts.online),
              {},    {}};
  if (!facts.model.empty()) cores.value += fmt::format(", {}", facts.model);
  if (facts.usable == 1) {
    cores.state = State::note;
    cores.meaning = "host memory is copied by one thread, which waiting threads compete with";
    cores.advice = "give the process more cores (taskset, the container's --cpus or --cpuset-cpus)";
  }
  Check copies{"cpu", "copies", State::ok, facts.copies, {}, {}};
  copies.value +=
      fmt::format(" (AVX2 {}, AVX-512 {})", facts.avx2 ? "yes" : "no", facts.avx512 ? "yes" : "no");
  if (facts.copies == "memcpy") {
    copies.state = State::note;
    copies.meaning =
        "this CPU has no streaming stores that kvferry knows: a third more memory traffic";
    copies.advice = "virtual machines: pass the host's CPU through";
  }
  Check governor{"cpu",     "governor",
                 State::ok, facts.governor.empty() ? "not readable" : facts.governor,
                 {},        {}};
  if (facts.governor == "powersave" || facts.governor == "ondemand") {
    governor.state = State::note;
    governor.meaning = "short transfers may be slower and vary more while cores clock up";
    governor.advice = "for measurements, as root: cpupower frequency-set -g performance";
  }
  std::vector<std::string> nodes;
  nodes.reserve(facts.nodes.size());
  for (std::size_t i = 0; i < facts.nodes.size(); ++i) {
    nodes.push_back(fmt::format("node {}: {}", facts.node_ids[i], facts.nodes[i]));
  }
  Check numa{"cpu", "NUMA", State::ok, "not readable", {}, {}};
  if (!nodes.empty()) numa.value = fmt::format("{}", fmt::join(nodes, "; "));
  return {std::move(cores), std::move(copies), std::move(governor), std::move(numa)};
}

std::vector<Check> judge_kernel(const KernelFacts& facts) {
  const auto check = [](const char* name, const std::string& refusal, State state,
                        const char* meaning, const char* advice) {
    if (refusal.empty()) return Check{"kernel", name, State::ok, "works", {}, {}};
    return Check{"kernel", name, state, refusal, meaning, advice};
  };
  Check ptrace{"kernel",  "ptrace_scope",
               State::ok, facts.ptrace_scope.empty() ? "no yama" : facts.ptrace_scope,
               {},        {}};
  if (!facts.ptrace_scope.empty() && facts.ptrace_scope != "0") {
    ptrace.meaning = "attached private memory is read by process_vm_readv, which this may forbid";
  }
  return {check("memfd seals", facts.memfd_seal, State::problem,
                "host pools need memory sealed against shrinking and future writes",
                "Linux 5.1 or newer; in a sandbox, allow memfd_create and fcntl(F_ADD_SEALS)"),
          check("pidfd_open", facts.pidfd, State::warning,
                "the end of a peer's process cannot be told from the end of its connection: a pool "
                "is withdrawn later, and attached private memory is refused",
                "Linux 5.3 or newer; in a sandbox, allow pidfd_open (seccomp)"),
          check("SO_PEERCRED", facts.peer_credentials, State::problem,
                "no peer can be let in without the kernel's word who it is",
                "run outside of this sandbox, or one that supports SO_PEERCRED"),
          std::move(ptrace)};
}

std::vector<Check> judge_socket(const SocketFacts& facts) {
  Check check{"kernel", "socket", State::ok, facts.path, {}, {}};
  // sockaddr_un holds 107 characters and a zero.
  const bool long_path = facts.path.size() > 107;
  if (!facts.refusal.empty() || long_path) {
    check.state = State::warning;
    check.value = long_path ? fmt::format("{} ({} characters)", facts.path, facts.path.size())
                            : facts.refusal;
    check.meaning = "kvferry serve has no default place for its Unix socket";
    check.advice =
        "kvferry serve --socket PATH, with a short path in a directory of yours (mode 0700)";
    return {check};
  }
  const bool unused =
      !facts.runtime_dir.empty() && !facts.path.starts_with(facts.runtime_dir + '/');
  if (unused) {
    check.state = State::note;
    check.meaning =
        fmt::format("XDG_RUNTIME_DIR ({}) is not a directory of ours with mode 0700: not used",
                    facts.runtime_dir);
    check.advice = "unset XDG_RUNTIME_DIR, or point it to a directory of yours: chmod 700";
  } else if (facts.runtime_dir.empty()) {
    check.value += " (XDG_RUNTIME_DIR is not set)";
  }
  return {check};
}

}  // namespace kvferry::cli::doctor
