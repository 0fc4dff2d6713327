#pragma once

#include <cstddef>
#include <cstdint>

#include "kvferry/shape.hpp"
#include "pattern/pattern.hpp"

// Host patterns on plain memory: what pattern.cpp does for the rows of a pool.
namespace kvferry::pattern {

// What one row in memory holds: a block of a layer, or, where keys and values lie apart, one of its
// halves.
struct RowContent {
  CacheShape shape;
  std::uint32_t layer = 0;
  std::uint32_t first_kv = 0;  // halves: 0 (K) or 1 (V)
  std::uint32_t kvs = 2;       // shape.kv, or 1 for a half
  std::uint64_t bytes() const noexcept { return shape.block_bytes() / shape.kv * kvs; }
};

struct RowMismatch {
  std::uint64_t bytes = 0;
  std::uint64_t first = 0;  // place of the first wrong byte in the row; 0 where none is
};

// Writes the row. `row` needs no alignment.
void fill_row(std::byte* row, const RowContent& content, const BlockSpec& spec);
// Compares every byte of the row.
RowMismatch check_row(const std::byte* row, const RowContent& content, const BlockSpec& spec);

}  // namespace kvferry::pattern
