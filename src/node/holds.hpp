#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "node/node_fwd.hpp"

namespace kvferry::detail {

// Who may still touch which of our pools: peers we granted them to, and routes of our own. A pool
// is free to go once none is left. Thread-safe.
//
// A peer's hold ends when it says that it has unmapped. If its connection ends without that, it
// ends with the peer's process: a stopped or detached process may still have copies queued, so the
// connection's end alone proves nothing.
class Holds {
 public:
  using Clock = std::chrono::steady_clock;
  // After a process that could write is gone, what it had queued may still land while the driver
  // tears it down (100 to 240 ms measured on H200).
  static constexpr auto kQuarantine = std::chrono::milliseconds(300);
  // Where the kernel has no pidfd, how long a vanished peer is waited for.
  static constexpr auto kBlindWait = std::chrono::seconds(2);

  void peer_granted(std::uint64_t peer, const std::string& name, const PoolImpl* pool,
                    bool writable);
  void peer_unmapped(std::uint64_t peer, const PoolImpl* pool);
  // The connection is over; from now on its process is watched.
  void peer_gone(std::uint64_t peer, pid_t pid, std::shared_ptr<const UniqueFd> pidfd);
  // The connection is over, and its process never reached our memory.
  void peer_left(std::uint64_t peer);
  void route_opened(const PoolImpl* pool);
  void route_closed(const PoolImpl* pool);

  // True when nothing holds the pool any more. False past `until`; then `who` names what does.
  bool wait_until_free(const PoolImpl* pool, Clock::time_point until, std::string* who);

 private:
  struct PeerHold {
    std::uint64_t peer = 0;
    std::string name;
    const PoolImpl* pool = nullptr;
    bool writable = false;
    unsigned grants = 0;
    bool gone = false;
    pid_t pid = 0;  // set once gone
    Clock::time_point gone_since;
    std::shared_ptr<const UniqueFd> pidfd;
    bool exited = false;
    Clock::time_point exited_at;
  };
  struct RouteHold {
    const PoolImpl* pool = nullptr;
    unsigned routes = 0;
  };

  bool has_ended(PeerHold& hold, Clock::time_point now);
  void sweep();  // under the lock

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<PeerHold> peers_;
  std::list<RouteHold> routes_;
};

}  // namespace kvferry::detail
