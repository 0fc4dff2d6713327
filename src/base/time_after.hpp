#pragma once

#include <chrono>

namespace kvferry {

// Now plus a duration, or the end of time where that would overflow: callers say "forever" with
// duration::max().
template <typename Rep, typename Period>
std::chrono::steady_clock::time_point time_after(std::chrono::steady_clock::time_point from,
                                                 std::chrono::duration<Rep, Period> duration) {
  using Clock = std::chrono::steady_clock;
  const auto left = std::chrono::duration<double>(Clock::time_point::max() - from);
  if (std::chrono::duration<double>(duration) >= left) return Clock::time_point::max();
  return from + std::chrono::duration_cast<Clock::duration>(duration);
}

}  // namespace kvferry
