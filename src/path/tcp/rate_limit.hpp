#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace kvferry::path::tcp {

// Bytes a second, over everything that asks it. Thread-safe.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;
  // Requires: bytes_per_s > 0.
  explicit RateLimit(std::uint64_t bytes_per_s) noexcept
      : seconds_per_byte_(1.0 / static_cast<double>(bytes_per_s)) {}

  // When so many bytes may go: `now` or earlier, and then they are counted; else nothing is.
  Clock::time_point ask(std::uint64_t bytes, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (free_ > now) return free_;
    // What was not used in the last moment may be caught up with; more would be a burst.
    free_ = std::max(free_, now - kSlack) +
            std::chrono::duration_cast<Clock::duration>(
                std::chrono::duration<double>(static_cast<double>(bytes) * seconds_per_byte_));
    return now;
  }

 private:
  static constexpr auto kSlack = std::chrono::milliseconds(2);
  const double seconds_per_byte_;
  std::mutex mutex_;
  Clock::time_point free_{};
};

}  // namespace kvferry::path::tcp
