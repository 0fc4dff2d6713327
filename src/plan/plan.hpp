#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvferry/shape.hpp"
#include "kvferry/transfer.hpp"

namespace kvferry::plan {

// Where the blocks of a pool lie, as addresses in the process that will copy. A *plane* is one
// tensor that block ids index: a layer, or a layer's K or V where these are apart. Row (plane p,
// block b) starts at plane_base[p] + b * block_stride and is row_bytes long. This is the affine map
// of design.md, for the layouts that need no conversion.
struct BlockMap {
  std::vector<std::uint64_t> plane_base;  // layers * parts addresses, layer-major
  std::uint32_t parts = 1;                // planes per layer: 1, or 2 where K and V are apart
  std::uint64_t block_stride = 0;         // bytes
  std::uint64_t row_bytes = 0;            // block_bytes / parts
  std::uint32_t blocks = 0;
  // Addresses mean the same memory only within one space. 0: this process; for another process's
  // own addresses (process_vm_readv) its pid. Maps in different spaces are taken not to overlap.
  std::uint64_t address_space = 0;
};

// Blocks that are neighbours on both sides: source ids src.., target ids dst.., count of them.
struct Run {
  std::uint32_t src = 0;
  std::uint32_t dst = 0;
  std::uint32_t count = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

// What one side's rows look like to an executor: the planes of the layer range, and whether they
// are evenly spaced.
struct Side {
  std::vector<std::uint64_t> plane_base;
  std::uint64_t block_stride = 0;
  // Evenly spaced: plane p is at plane_base[0] + p * plane_stride (mod 2^64), so an executor need
  // not read the table.
  bool even = false;
  std::uint64_t plane_stride = 0;
};

// What goes where: for every plane p and run r, count rows of row_bytes from source to target.
struct Plan {
  Side source, target;
  std::uint64_t row_bytes = 0;
  std::vector<Run> runs;     // ascending in nothing: the caller's order, neighbours merged
  std::uint32_t blocks = 0;  // sum of counts
  std::uint32_t planes = 0;
  std::uint32_t id_limit = 0xffffffff;  // every id is below it, on both sides
  bool dense_runs = false;  // both block strides equal row_bytes: a run is one contiguous piece of
                            // count * row_bytes
  // Bytes that move.
  std::uint64_t bytes() const noexcept {
    return static_cast<std::uint64_t>(blocks) * planes * row_bytes;
  }
  // Contiguous pieces that move: what a copy-per-piece engine would post.
  std::uint64_t pieces() const noexcept;
};

// Checks ids and layers and lays out the copy. Where one side keeps K and V apart and the other
// does not, the joint side is seen as two planes. Cost: O(ids + planes), not the pool's size;
// allocates only the Plan. Throws: Error{invalid_argument}: lists of different length, an id out of
// range, a target id twice, an empty or reversed layer range, rows of source and target that
// overlap in memory. The message names the value and its place in the list. Requires: both maps
// describe the same CacheShape.
Plan make_plan(const BlockMap& source, const BlockMap& target,
               std::span<const std::uint32_t> source_ids, std::span<const std::uint32_t> target_ids,
               LayerRange layers);
// The same, in the memory of an earlier plan, whatever that held.
void make_plan(const BlockMap& source, const BlockMap& target,
               std::span<const std::uint32_t> source_ids, std::span<const std::uint32_t> target_ids,
               LayerRange layers, Plan& plan);

}  // namespace kvferry::plan
