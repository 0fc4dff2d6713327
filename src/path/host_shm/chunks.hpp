#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "path/host_shm/streaming_copy.hpp"
#include "plan/plan.hpp"

namespace kvferry::path::host {

// A plan cut into chunks of about equal size that threads take one at a time. Rows are counted
// through (plane by plane, in the order of the runs); a chunk is a range of them, or a part of one
// that is longer than a chunk. Immutable: any thread may walk any chunk. Costs O(runs) to make.
class Chunks {
 public:
  Chunks(plan::Plan plan, unsigned threads);

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t bytes() const noexcept { return plan_.bytes(); }
  std::uint64_t rows() const noexcept { return std::uint64_t{plan_.blocks} * plan_.planes; }

  // Calls visit(std::span<const Piece>) with the pieces of a chunk, at most kBatch at a time;
  // visit returns false to stop. Neighbouring rows are merged, long ones cut, so that pieces fit
  // side by side. Requires: chunk < count().
  template <typename Visit>
  void walk(std::uint64_t chunk, Visit visit) const;

  static constexpr std::size_t kBatch = 64;  // also what process_vm_readv takes well at once

 private:
  // A place in the sequence of rows.
  struct Cursor {
    std::uint64_t rows_left = 0;  // of the chunk
    std::uint32_t plane = 0;
    std::size_t run = 0;
    std::uint32_t in_run = 0;
    std::uint64_t begin = 0, end = 0;  // bytes of each row: all, or a slice
  };
  Cursor start(std::uint64_t chunk) const noexcept;
  // The next contiguous stretch.
  Piece next(Cursor& cursor) const noexcept;

  plan::Plan plan_;
  std::vector<std::uint64_t> rows_before_;  // run -> rows of the runs before it
  std::uint64_t rows_per_chunk_ = 0;        // 0: several chunks a row
  std::uint64_t slice_bytes_ = 0;
  std::uint64_t slices_per_row_ = 1;
  std::uint64_t count_ = 0;
};

template <typename Visit>
void Chunks::walk(std::uint64_t chunk, Visit visit) const {
  constexpr std::uint64_t kPieceBytes = 64 << 10;
  std::array<Piece, kBatch> batch;
  std::size_t filled = 0;
  for (Cursor cursor = start(chunk); cursor.rows_left > 0;) {
    for (Piece stretch = next(cursor); stretch.bytes > 0;) {
      const std::uint64_t bytes = stretch.bytes < kPieceBytes ? stretch.bytes : kPieceBytes;
      batch[filled++] = {stretch.source, stretch.target, bytes};
      stretch = {stretch.source + bytes, stretch.target + bytes, stretch.bytes - bytes};
      if (filled == kBatch) {
        if (!visit(std::span<const Piece>(batch))) return;
        filled = 0;
      }
    }
  }
  if (filled > 0) visit(std::span<const Piece>(batch.data(), filled));
}

}  // namespace kvferry::path::host
