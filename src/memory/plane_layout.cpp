#include "memory/plane_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <numeric>

#include "kvferry/error.hpp"

namespace kvferry::memory {

namespace {

std::uint64_t address_of(const void* base) { return reinterpret_cast<std::uintptr_t>(base); }

// Planes by ascending address.
std::vector<std::uint32_t> by_address(const PlaneLayout& layout) {
  std::vector<std::uint32_t> order(layout.bases.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, {}, [&](std::uint32_t p) { return address_of(layout.bases[p]); });
  return order;
}

void check_reach(const PlaneLayout& layout) {
  if (layout.block_stride < layout.row_bytes) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("block_stride is {} bytes, less than the {} bytes of one {}; pass 0 for "
                    "dense blocks",
                    layout.block_stride, layout.row_bytes,
                    layout.parts == 1 ? "block" : "half of a block (K and V are apart)"));
  }
  std::uint64_t extent = 0;
  const bool overflow = __builtin_mul_overflow(static_cast<std::uint64_t>(layout.blocks) - 1,
                                               layout.block_stride, &extent) ||
                        __builtin_add_overflow(extent, layout.row_bytes, &extent);
  for (std::size_t p = 0; p < layout.bases.size(); ++p) {
    if (layout.bases[p] == nullptr) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{} is null", layout.describe(p)));
    }
    const std::uint64_t base = address_of(layout.bases[p]);
    if (overflow || base + extent < base) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} at {:#x} with {} blocks of stride {} runs past the end of the "
                              "address space",
                              layout.describe(p), base, layout.blocks, layout.block_stride));
    }
  }
}

// A sweep over ascending addresses. All planes have the same stride and extent, so the rows of two
// planes whose spans overlap share bytes exactly if their bases, modulo the stride, are closer than
// a row (the span ends with a whole row, so the nearest row of the other plane exists). Open spans
// are kept by that remainder; only the neighbours on the circle need a look.
class RowSweep {
 public:
  explicit RowSweep(const PlaneLayout& layout) : layout_(layout) {}

  void add(std::uint32_t plane) {
    const std::uint64_t base = address_of(layout_.bases[plane]);
    while (!open_.empty() && address_of(layout_.bases[open_.front()]) + layout_.extent() <= base) {
      by_remainder_.erase(remainder(open_.front()));
      open_.pop_front();
    }
    if (!by_remainder_.empty()) {
      const auto next = by_remainder_.lower_bound(remainder(plane));
      compare(plane, next == by_remainder_.end() ? by_remainder_.begin() : next);
      compare(plane,
              next == by_remainder_.begin() ? std::prev(by_remainder_.end()) : std::prev(next));
    }
    by_remainder_.emplace(remainder(plane), plane);
    open_.push_back(plane);
  }

 private:
  using Entry = std::map<std::uint64_t, std::uint32_t>::const_iterator;

  std::uint64_t remainder(std::uint32_t plane) const {
    return address_of(layout_.bases[plane]) % layout_.block_stride;
  }

  void compare(std::uint32_t plane, Entry other) const {
    const std::uint64_t a = remainder(plane), b = other->first;
    const std::uint64_t apart = a > b ? a - b : b - a;
    if (apart >= layout_.row_bytes && layout_.block_stride - apart >= layout_.row_bytes) return;
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} at {:#x} and {} at {:#x} share bytes ({} blocks of {} bytes, stride "
                    "{}); every layer needs memory of its own",
                    layout_.describe(other->second), address_of(layout_.bases[other->second]),
                    layout_.describe(plane), address_of(layout_.bases[plane]), layout_.blocks,
                    layout_.row_bytes, layout_.block_stride));
  }

  const PlaneLayout& layout_;
  std::deque<std::uint32_t> open_;
  std::map<std::uint64_t, std::uint32_t> by_remainder_;
};

}  // namespace

std::string PlaneLayout::describe(std::size_t plane) const {
  if (parts == 1) return fmt::format("bases[{}] (layer {})", plane, plane);
  return fmt::format("bases[{}] (layer {}, {})", plane, plane / 2, plane % 2 == 0 ? "K" : "V");
}

void PlaneLayout::check() const {
  check_reach(*this);
  RowSweep sweep(*this);
  for (const std::uint32_t plane : by_address(*this)) sweep.add(plane);
}

std::vector<AddressRange> spanned_ranges(const PlaneLayout& layout) {
  std::vector<AddressRange> ranges;
  for (const std::uint32_t plane : by_address(layout)) {
    const std::uint64_t begin = address_of(layout.bases[plane]);
    const std::uint64_t end = begin + layout.extent();
    if (ranges.empty() || begin > ranges.back().end) {
      ranges.push_back({begin, end});
    } else {
      ranges.back().end = std::max(ranges.back().end, end);
    }
  }
  return ranges;
}

}  // namespace kvferry::memory
