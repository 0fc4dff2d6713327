#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/node.hpp"
#include "memory/pool_impl.hpp"
#include "plan/plan.hpp"

namespace kvferry::path {

namespace tcp {
class DataLink;
}
namespace ucx {
class PeerLink;
}

// Why paths that map memory cannot: true of a peer on another host and of one on this host, in
// another container or with a socket out of reach.
inline constexpr const char* kReachedOverTcp =
    "the peer was reached over TCP, and memory is shared over the Unix socket of one host only; if "
    "the peer is on this host, connect by its socket (--socket PATH)";

// The remote end of a pair, as granted by its owner.
struct RemoteEnd {
  memory::PoolOffer offer;
  std::vector<UniqueFd> fds;  // of all regions' chunks, in order
  CacheShape shape;
  std::uint32_t blocks = 0;
  bool writable = false;  // pushes allowed
  bool same_process = false;
  bool over_network = false;  // reached over TCP: nothing of `offer` and `fds` is there
  pid_t pid = 0;              // of the owner, as the kernel says (SO_PEERCRED)
  int pidfd = -1;             // borrowed; -1 where the kernel has none
  // The streams for data to its owner; may be null.
  std::shared_ptr<tcp::DataLink> data{};
  // What asks its owner for keys; may be null.
  std::shared_ptr<ucx::PeerLink> ucx{};
  // When whoever opens a route to it stops waiting for its owner: a transfer's deadline.
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};

// How a transfer should run.
struct JobOptions {
  Direction direction = Direction::pull;
  std::optional<CudaStream> stream;
  CopyMethod copy = CopyMethod::automatic;
  std::uint32_t max_sms = 0;
  bool prompt = false;  // somebody is to be told of the end who does not wait for it
  // For paths that need the owner's help:
  LayerRange layers{};
  std::optional<std::chrono::steady_clock::time_point> deadline{};
  unsigned streams = 0;  // 0: the path's own choice
  bool checksum = false;
  std::uint64_t bytes_per_s = 0;  // 0: no limit
};

struct JobResult {
  bool moved_all = false;  // every byte landed
  bool aborted = false;    // abort() came in time to stop something
  std::string error;       // the copy itself failed
  // Why; unreachable where the peer, or what leads to it, is gone.
  ErrorCode code = ErrorCode::failed;
  std::optional<std::uint64_t> landed{};  // bytes known to have landed, where it did not end well
  double move_s = 0;                      // posted to quiet, as well as the path can tell
};

// Told when a job has become quiet: exactly once, from any thread, a CUDA callback included. Must
// not block, nor call CUDA.
class JobObserver {
 public:
  virtual ~JobObserver() = default;
  virtual void job_is_quiet() noexcept = 0;
};

// One running copy. Created by Route::start, which has already begun moving bytes.
class Job {
 public:
  virtual ~Job() = default;
  // What has not started becomes a no-op; soon after, the job is quiet. Any thread, any number of
  // times.
  virtual void abort(ErrorCode why) noexcept = 0;
  // The result once nothing can land any more; nullopt while something still can. Any thread.
  virtual std::optional<JobResult> poll() = 0;
  // Waits for that, at most until `until`; spins briefly where that is how latency is won, then
  // sleeps.
  virtual bool wait_until(std::chrono::steady_clock::time_point until) = 0;
  // As JobOptions::prompt, asked for after the start. A path that always tells at once does
  // nothing.
  virtual void prompt() noexcept {}
  // For TransferReport::method.
  virtual std::string method() const = 0;
  virtual const volatile std::uint32_t* status_word() const noexcept { return nullptr; }
};

// A plan that was checked and laid out once, to be started many times, while its route lives.
class PreparedCopy {
 public:
  virtual ~PreparedCopy() = default;
  // As Route::start.
  virtual std::shared_ptr<Job> start(
      std::shared_ptr<JobObserver> observer,
      std::optional<std::chrono::steady_clock::time_point> deadline) = 0;
  // Adds the copy to a stream that is being captured into a CUDA graph. Throws:
  // Error{invalid_argument} where that cannot be.
  virtual void capture(CudaStream stream) = 0;
  // Captured copies that have not begun become no-ops; returns when none is running.
  virtual void retire(ErrorCode why) noexcept = 0;
  // 0, or why captured copies do nothing any more; nullptr where there are none.
  virtual const volatile std::uint32_t* status_word() const noexcept = 0;
};

// A local and a remote pool with everything mapped: can run plans at once and concurrently.
// Destroying it unmaps; every Job must be quiet by then.
class Route {
 public:
  virtual ~Route() = default;
  // The remote pool's planes as addresses the executor of this route understands.
  virtual const plan::BlockMap& remote() const noexcept = 0;
  virtual const plan::BlockMap& local() const noexcept = 0;
  // Begins to move; may take the plan's memory, or leave it for the caller's next one. The observer
  // may be told before start returns, and may be null. Throws: Error{invalid_argument} (an option
  // this path cannot honour), Error{resource}; then nothing was written.
  virtual std::shared_ptr<Job> start(plan::Plan& plan, const JobOptions& options,
                                     std::shared_ptr<JobObserver> observer) = 0;
  // Throws: as start.
  virtual std::unique_ptr<PreparedCopy> prepare(plan::Plan plan, const JobOptions& options) = 0;
};

// A way for bytes to move between a local and a remote pool. Stateless but for its executors.
class Path {
 public:
  virtual ~Path() = default;
  virtual std::string_view name() const noexcept = 0;
  // Whether, how well, and why (not). Cheap: maps nothing.
  virtual PathVerdict judge(const detail::PoolImpl& local, const RemoteEnd& remote) const = 0;
  // Maps the remote pool. Requires: judge() said usable. Throws: Error{refused}, Error{resource}.
  virtual std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                                      RemoteEnd remote) = 0;
};

// Every path of this build, best first: the one table where builds differ.
std::vector<std::unique_ptr<Path>> make_paths(unsigned copy_threads, const CopyCosts& costs);

}  // namespace kvferry::path
