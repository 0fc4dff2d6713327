#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/node.hpp"

namespace kvferry::cli {

struct Totals {
  std::uint64_t clients = 0, refused = 0, pulls = 0, pushes = 0, bytes = 0;
};

// Brings a node's events to the main thread. push() never blocks for long and never grows without
// end: past so many waiting events it counts the event and drops its line. There is more room for
// clients that come and go than for what they move, so that the first are not lost among the
// latter. Thread-safe.
class PeerEvents {
 public:
  static constexpr std::size_t kMaxServed = 1024, kMax = 2 * kMaxServed;

  // Throws: Error{resource}.
  PeerEvents();
  void push(const PeerEvent& event);
  // What waits, oldest first, and how many were dropped since the last call.
  struct Batch {
    std::vector<PeerEvent> events;
    std::uint64_t dropped = 0;
  };
  Batch take();
  // Everything pushed so far, dropped or not.
  Totals totals() const;
  // Readable while something waits.
  int fd() const noexcept { return wake_.get(); }

 private:
  UniqueFd wake_;
  mutable std::mutex mutex_;
  std::deque<PeerEvent> events_;
  std::uint64_t dropped_ = 0;
  Totals totals_;
};

// Which events get a line of their own: at most `kPerSecond` in a second. The others are summed up,
// so that a busy hour or a hostile neighbour cannot fill a disk with lines.
class LineBudget {
 public:
  static constexpr unsigned kPerSecond = 50;
  using Clock = std::chrono::steady_clock;

  // Whether one more line may be printed; if not, it is counted.
  bool admit(Clock::time_point now);
  // Counts events that nobody asked about.
  void suppress(std::uint64_t events) noexcept { suppressed_ += events; }
  // Events not printed, once their second is over; resets the count.
  std::uint64_t suppressed(Clock::time_point now);
  bool waiting() const noexcept { return suppressed_ > 0; }

 private:
  Clock::time_point window_{};
  std::uint64_t used_ = 0, suppressed_ = 0;
};

}  // namespace kvferry::cli
