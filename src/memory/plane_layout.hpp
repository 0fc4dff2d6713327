#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kvferry::memory {

// Where the rows of attached planes lie: plane p's row b is row_bytes at bases[p] + b *
// block_stride.
struct PlaneLayout {
  std::span<void* const> bases;
  std::uint64_t block_stride = 0;
  std::uint64_t row_bytes = 0;
  std::uint32_t blocks = 0;
  std::uint32_t parts = 1;

  // Bytes from a plane's first to its last, strides included. Requires: check() passed.
  std::uint64_t extent() const noexcept {
    return (static_cast<std::uint64_t>(blocks) - 1) * block_stride + row_bytes;
  }
  // "bases[3] (layer 1, V)"
  std::string describe(std::size_t plane) const;
  // Throws: Error{invalid_argument} for a null base, a stride shorter than a row, a plane that runs
  // past the end of the address space, or rows of two planes that share bytes. Planes may
  // interleave (one tensor of (blocks, layers, ...)): only rows must not meet. Cost: O(planes *
  // log(planes)).
  void check() const;
};

// Addresses [begin, end).
struct AddressRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
// The ranges the planes span, ascending, those that touch or overlap merged into one.
// Requires: layout.check() passed.
std::vector<AddressRange> spanned_ranges(const PlaneLayout& layout);

}  // namespace kvferry::memory
