#include <fmt/format.h>

#include "doctor/judge.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

// A server with as many peers as it takes by default (256), each with a socket and a pidfd, one
// message of 253 descriptors in flight, and 64 for the program itself.
constexpr std::uint64_t kServerFiles = 2 * 256 + 253 + 64;
// One peer, and CUDA's own.
constexpr std::uint64_t kFewestFiles = 64;
constexpr std::uint64_t kTestPool = std::uint64_t{4} << 20;
constexpr std::uint64_t kLittleMemlock = std::uint64_t{64} << 10;

std::string amount(const std::optional<std::uint64_t>& limit) {
  return limit ? format_bytes(*limit) : "unlimited";
}

Check files(const LimitFacts& facts) {
  Check check{"limits",  "open files",
              State::ok, facts.files ? format_count(*facts.files) : "unlimited",
              {},        {}};
  if (facts.files_hard) check.value += fmt::format(" (hard {})", format_count(*facts.files_hard));
  if (!facts.files || *facts.files >= kServerFiles) return check;
  const bool hopeless = *facts.files < kFewestFiles;
  check.state = hopeless ? State::problem : State::warning;
  check.meaning = hopeless ? "too few for a connection that passes memory"
                           : fmt::format("a server with 256 peers needs {}", kServerFiles);
  const bool raisable = !facts.files_hard || *facts.files_hard >= kServerFiles;
  check.advice = raisable ? "ulimit -n 4096"
                          : "raise the hard limit: LimitNOFILE= (systemd), --ulimit nofile=4096 "
                            "(containers), /etc/security/limits.conf";
  return check;
}

Check file_bytes(const LimitFacts& facts) {
  Check check{"limits", "file size", State::ok, amount(facts.file_bytes), {}, {}};
  if (!facts.file_bytes) return check;
  check.state = *facts.file_bytes < kTestPool ? State::problem : State::warning;
  check.meaning = "a host pool is a memfd, which counts as a file: none can be larger than this";
  check.advice = "ulimit -f unlimited (LimitFSIZE=infinity for systemd)";
  return check;
}

Check memlock(const LimitFacts& facts, bool pinning_failed) {
  Check check{"limits", "locked memory", State::ok, amount(facts.memlock), {}, {}};
  if (!facts.memlock) return check;
  if (pinning_failed) {
    check.state = State::warning;
    check.meaning = "host memory could not be shared with a GPU; pinning it may be what is refused";
    check.advice =
        "ulimit -l unlimited (LimitMEMLOCK=infinity for systemd, --ulimit memlock=-1 for "
        "containers)";
  } else if (*facts.memlock < kLittleMemlock) {
    check.state = State::note;
    check.meaning = "no path needs more here; RDMA and other programs that lock memory do";
    check.advice = "ulimit -l unlimited, if such a program fails";
  }
  return check;
}

Check address_space(const LimitFacts& facts, bool has_gpu) {
  Check check{"limits", "address space", State::ok, amount(facts.address_space), {}, {}};
  if (!facts.address_space) return check;
  check.state = has_gpu ? State::warning : State::note;
  check.meaning = has_gpu ? "CUDA reserves address space far beyond the memory of the machine"
                          : "a pool is mapped by both processes, each within this limit";
  check.advice = "ulimit -v unlimited (LimitAS=infinity for systemd)";
  return check;
}

}  // namespace

std::vector<Check> judge_limits(const LimitFacts& facts, bool has_gpu, bool pinning_failed) {
  return {files(facts),
          file_bytes(facts),
          memlock(facts, pinning_failed),
          address_space(facts, has_gpu),
          {"limits",
           "processes",
           State::ok,
           facts.processes ? format_count(*facts.processes) : "unlimited",
           {},
           {}}};
}

}  // namespace kvferry::cli::doctor
