#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvferry::path::ucx {

// Which of some ranges of addresses, none overlapping, an address lies in.
class Ranges {
 public:
  void add(std::uint64_t base, std::uint64_t bytes) {
    ranges_.push_back({base, bytes, ranges_.size()});
    std::ranges::sort(ranges_, {}, &Range::base);
  }
  // In the order of add(). Requires: one of them has the address.
  std::size_t find(std::uint64_t address) const noexcept {
    const auto after = std::ranges::upper_bound(ranges_, address, {}, &Range::base);
    return std::prev(after)->number;
  }
  bool has(std::uint64_t address, std::uint64_t bytes) const noexcept {
    const auto after = std::ranges::upper_bound(ranges_, address, {}, &Range::base);
    if (after == ranges_.begin()) return false;
    const Range& range = *std::prev(after);
    return bytes <= range.bytes && address - range.base <= range.bytes - bytes;
  }

 private:
  struct Range {
    std::uint64_t base = 0, bytes = 0;
    std::size_t number = 0;
  };
  std::vector<Range> ranges_;
};

}  // namespace kvferry::path::ucx
