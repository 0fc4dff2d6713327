#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "doctor/judge.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

using Outcome = PairFact::Outcome;
// More pairs than this are counted, not named.
constexpr std::size_t kNamed = 6;

bool is_gpu(const std::string& device) { return device.starts_with("cuda:"); }

// What CUDA says of the way between two GPUs; nullptr: nothing, or they are not two.
const PeerLink* link_of(const PairFact& pair, const GpuFacts& gpus) {
  const auto found = std::ranges::find_if(gpus.peers, [&](const PeerLink& peer) {
    return pair.local == fmt::format("cuda:{}", peer.from) &&
           pair.remote == fmt::format("cuda:{}", peer.to);
  });
  return found == gpus.peers.end() ? nullptr : &*found;
}

std::string methods(const PairFact& pair) {
  if (pair.pull_method == pair.push_method) return pair.pull_method;
  return fmt::format("pull {}, push {}", pair.pull_method, pair.push_method);
}

constexpr const char* kPeerAdvice =
    "nvidia-smi topo -p2p r shows why; switch off the IOMMU or ACS of the PCIe bridges, or use "
    "GPUs "
    "that NVLink joins";

std::string advice_for(const PairFact& pair, const PeerLink* link) {
  if (pair.private_memory) {
    return "let kvferry allocate the pool; or as root: sysctl kernel.yama.ptrace_scope=0 "
           "(containers: "
           "--cap-add SYS_PTRACE)";
  }
  if (link != nullptr && !link->access) return kPeerAdvice;
  const bool gpu = is_gpu(pair.local) || is_gpu(pair.remote);
  if (pair.outcome == Outcome::late && gpu) {
    return "nvidia-smi; dmesg | grep -i -e xid -e nvrm; a larger --timeout if the machine is only "
           "slow";
  }
  if (pair.outcome == Outcome::late) return "a larger --timeout if the machine is only slow";
  if (gpu) return "see the findings on this GPU and on limits; try kvferry serve and pull --debug";
  return "see the findings on memory, limits and kernel; try kvferry serve and pull --debug";
}

// `host_works`: without that, what became of private memory says nothing by itself.
Check check_of(const PairFact& pair, const GpuFacts& gpus, bool host_works) {
  Check check{"sharing", fmt::format("{} <-> {}", pair.local, pair.remote), State::ok, {}, {}, {}};
  if (pair.private_memory) check.name += " (attached)";
  if (pair.outcome == Outcome::verified) {
    check.value = fmt::format("{}: {}", pair.path, methods(pair));
    return check;
  }
  const PeerLink* const link = link_of(pair, gpus);
  check.value = pair.reason;
  if (pair.outcome == Outcome::left_out) {
    check.state = State::note;
    check.meaning = "not tried";
    return check;
  }
  if (pair.private_memory && !host_works) {
    check.state = State::note;
    return check;
  }
  check.advice = advice_for(pair, link);
  if (pair.private_memory) {
    check.state = State::note;
    check.meaning =
        "attached private memory cannot be moved here; pools that kvferry allocates can";
  } else if (link != nullptr && !link->access) {
    check.state = State::warning;
    check.meaning = "no path between these GPUs";
  } else {
    check.state = State::problem;
    check.meaning =
        pair.outcome == Outcome::late ? "it did not end in time" : "blocks do not arrive";
  }
  return check;
}

std::string list(const std::vector<std::string>& names) {
  if (names.size() <= kNamed) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{} and {} more", fmt::join(names.begin(), names.begin() + kNamed, ", "),
                     names.size() - kNamed);
}

// One line of needs for a path that moves GPU memory.
std::vector<Need> gpu_needs(const Facts& facts) {
  const GpuFacts& gpu = facts.gpu;
  const auto exporting = std::ranges::count_if(
      gpu.devices, [](const GpuDevice& d) { return d.vmm && d.posix_fd && d.compute_mode == 0; });
  std::vector<Need> needs{
      {"a build with CUDA", gpu.built ? "yes" : "no", gpu.built},
      {"a driver that answers", gpu.late.empty() ? (gpu.devices.empty() ? "no" : "yes") : gpu.late,
       gpu.late.empty() && !gpu.devices.empty()},
      {"a GPU that exports memory and takes two processes",
       fmt::format("{} of {}", exporting, counted(gpu.devices.size(), "GPU")), exporting > 0}};
  if (gpu.devices.size() > 1) {
    const auto reached =
        std::ranges::count_if(gpu.peers, [](const PeerLink& p) { return p.access; });
    needs.push_back({"peer access between GPUs",
                     fmt::format("{} of {} directions", reached, gpu.peers.size()), reached > 0});
  }
  return needs;
}

struct Tally {
  std::size_t verified = 0, tried = 0;
  std::string reason;  // of the first failure
};

template <typename F>
Tally tally(const SharingFacts& sharing, F&& counts) {
  Tally sum;
  for (const PairFact& pair : sharing.pairs) {
    if (!counts(pair) || pair.outcome == Outcome::left_out) continue;
    ++sum.tried;
    if (pair.outcome == Outcome::verified) ++sum.verified;
    if (pair.outcome != Outcome::verified && sum.reason.empty()) sum.reason = pair.reason;
  }
  return sum;
}

// Usable where blocks arrived; where nothing was tried, where nothing speaks against it.
void conclude(PathState& path, const Tally& tally) {
  const auto unmet = std::ranges::find_if(path.needs, [](const Need& need) { return !need.met; });
  if (tally.tried == 0) {
    path.usable = unmet == path.needs.end();
    path.reason = path.usable ? "nothing speaks against it; not tried" : "needs " + unmet->what;
    return;
  }
  path.needs.push_back({"blocks that arrive",
                        fmt::format("{} of {} pairs verified", tally.verified, tally.tried),
                        tally.verified > 0});
  path.usable = tally.verified > 0;
  path.reason = tally.verified == tally.tried
                    ? fmt::format("{} verified", counted(tally.tried, "pair"))
                    : tally.reason;
}

}  // namespace

std::vector<Check> judge_peers(const GpuFacts& gpus) {
  if (gpus.devices.size() < 2) return {};
  std::vector<std::string> cut;
  std::size_t nvlink = 0;
  for (const PeerLink& peer : gpus.peers) {
    if (peer.access && peer.link == "nvlink") ++nvlink;
    if (peer.access) continue;
    cut.push_back(fmt::format("cuda:{} to cuda:{}{}", peer.from, peer.to,
                              peer.note.empty() ? "" : fmt::format(" ({})", peer.note)));
  }
  Check check{"peers", "peer access", State::ok, {}, {}, {}};
  check.value = fmt::format("{} of {} directions, {} by NVLink", gpus.peers.size() - cut.size(),
                            gpus.peers.size(), nvlink);
  if (!cut.empty()) {
    check.state = State::warning;
    check.meaning = fmt::format("no blocks can be moved from {}", list(cut));
    check.advice = kPeerAdvice;
  }
  return {check};
}

std::vector<Check> judge_sharing(const SharingFacts& sharing, const GpuFacts& gpus) {
  std::vector<Check> checks;
  checks.reserve(sharing.pairs.size() + sharing.left_out.size());
  const bool host_works = std::ranges::any_of(sharing.pairs, [](const PairFact& p) {
    return !is_gpu(p.local) && !is_gpu(p.remote) && !p.private_memory &&
           p.outcome == Outcome::verified;
  });
  for (const PairFact& pair : sharing.pairs) checks.push_back(check_of(pair, gpus, host_works));
  for (const std::string& what : sharing.left_out) {
    checks.push_back({"sharing", "left out", State::note, what, {}, {}});
  }
  return checks;
}

std::vector<PathState> judge_paths(const Facts& facts) {
  const KernelFacts& kernel = facts.host.kernel;
  const auto word = [](const std::string& refusal) { return refusal.empty() ? "works" : refusal; };
  PathState gpu{"cuda_ipc", false, "GPU and GPU, GPU and host memory", gpu_needs(facts), {}};
  conclude(gpu, tally(facts.sharing,
                      [](const PairFact& p) { return is_gpu(p.local) || is_gpu(p.remote); }));
  PathState host{"host_shm", false, "host memory and host memory", {}, {}};
  host.needs = {{"sealed memfds", word(kernel.memfd_seal), kernel.memfd_seal.empty()},
                {"SO_PEERCRED", word(kernel.peer_credentials), kernel.peer_credentials.empty()}};
  const auto on_host = [](const PairFact& p) { return !is_gpu(p.local) && !is_gpu(p.remote); };
  conclude(host, tally(facts.sharing,
                       [&](const PairFact& p) { return on_host(p) && !p.private_memory; }));
  PathState attached{"host_shm", false, "host memory and attached private memory", {}, {}};
  attached.needs = {{"pidfd_open", word(kernel.pidfd), kernel.pidfd.empty()}};
  conclude(attached,
           tally(facts.sharing, [&](const PairFact& p) { return on_host(p) && p.private_memory; }));
  std::vector<PathState> paths{std::move(gpu), std::move(host), std::move(attached)};
  std::ranges::move(judge_network_paths(facts), std::back_inserter(paths));
  return paths;
}

Diagnosis diagnose(const Facts& facts) {
  Diagnosis diagnosis;
  const auto add = [&](std::vector<Check> checks) {
    std::ranges::move(checks, std::back_inserter(diagnosis.checks));
  };
  const bool pinning_failed = std::ranges::any_of(facts.sharing.pairs, [](const PairFact& p) {
    return is_gpu(p.local) != is_gpu(p.remote) && p.outcome == Outcome::failed;
  });
  add(judge_system(facts.host.system));
  add(judge_kernel(facts.host.kernel));
  add(judge_socket(facts.host.socket));
  add(judge_memory(facts.host.memory));
  add(judge_limits(facts.host.limits, !facts.gpu.devices.empty(), pinning_failed));
  add(judge_cpu(facts.host.cpu));
  add(judge_network(facts.host.network));
  add(judge_driver(facts.host.nvidia, facts.gpu));
  for (const GpuDevice& gpu : facts.gpu.devices) add(judge_gpu(gpu, facts.host.cpu));
  add(judge_peers(facts.gpu));
  add(judge_sharing(facts.sharing, facts.gpu));
  diagnosis.paths = judge_paths(facts);
  return diagnosis;
}

}  // namespace kvferry::cli::doctor
