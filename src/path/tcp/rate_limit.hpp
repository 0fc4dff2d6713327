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

  // When more bytes may go: now, or later.
  Clock::time_point when() const {
    const std::lock_guard lock(mutex_);
    return free_;
  }
  // So many go. Of several who asked at once all may: their bytes count against what comes next.
  void count(std::uint64_t bytes, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    // What was not used in the last moment may be caught up with; more would be a burst.
    free_ = std::max(free_, now - kSlack) +
            std::chrono::duration_cast<Clock::duration>(
                std::chrono::duration<double>(static_cast<double>(bytes) * seconds_per_byte_));
  }

 private:
  static constexpr auto kSlack = std::chrono::milliseconds(2);
  const double seconds_per_byte_;
  mutable std::mutex mutex_;
  Clock::time_point free_{};
};

}  // namespace kvferry::path::tcp
