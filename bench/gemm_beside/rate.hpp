#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace gemm_beside {

// The rate of transfers that ran without a pause, over the part of a window that lies between the
// end of one and the end of another: whole transfers by their own time, nothing counted that was
// only half within. In 10^9 bytes a second. Empty when fewer than two ended in the window.
// Requires: ends ascending.
template <typename Time>
std::optional<double> rate_within(const std::vector<Time>& ends, Time begin, Time end,
                                  std::uint64_t bytes_each) {
  const auto first = std::lower_bound(ends.begin(), ends.end(), begin);
  const auto behind = std::upper_bound(first, ends.end(), end);
  if (behind - first < 2) return std::nullopt;
  const double seconds = std::chrono::duration<double>(*(behind - 1) - *first).count();
  if (seconds <= 0) return std::nullopt;
  return static_cast<double>(behind - first - 1) * static_cast<double>(bytes_each) / seconds / 1e9;
}

}  // namespace gemm_beside
