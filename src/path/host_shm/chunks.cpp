#include "path/host_shm/chunks.hpp"

#include <algorithm>

namespace kvferry::path::host {

namespace {

// Small enough that the last chunks end together and that an abort is quick (1 MiB: about 0.1 ms),
// large enough that taking one costs nothing beside copying it.
constexpr std::uint64_t kMinChunkBytes = 256 << 10;
constexpr std::uint64_t kMaxChunkBytes = 1 << 20;
constexpr std::uint64_t kChunksPerThread = 32;
// Rows copied side by side: a chunk holds whole groups of them where it can.
constexpr std::uint64_t kGroupRows = 4;

}  // namespace

Chunks::Chunks(plan::Plan plan, unsigned threads) : plan_(std::move(plan)) {
  rows_before_.reserve(plan_.runs.size());
  std::uint64_t before = 0;
  for (const plan::Run& run : plan_.runs) {
    rows_before_.push_back(before);
    before += run.count;
  }
  if (rows() == 0 || plan_.row_bytes == 0) return;
  const std::uint64_t chunk_bytes = std::clamp(bytes() / (std::max(1u, threads) * kChunksPerThread),
                                               kMinChunkBytes, kMaxChunkBytes);
  if (plan_.row_bytes > kMaxChunkBytes) {
    // Whole pages: every slice of a row is aligned as the row is.
    slice_bytes_ = chunk_bytes - chunk_bytes % 4096;
    slices_per_row_ = (plan_.row_bytes + slice_bytes_ - 1) / slice_bytes_;
    count_ = rows() * slices_per_row_;
    return;
  }
  rows_per_chunk_ = std::max<std::uint64_t>(1, chunk_bytes / plan_.row_bytes);
  if (rows_per_chunk_ > kGroupRows) rows_per_chunk_ -= rows_per_chunk_ % kGroupRows;
  count_ = (rows() + rows_per_chunk_ - 1) / rows_per_chunk_;
}

Chunks::Cursor Chunks::start(std::uint64_t chunk) const noexcept {
  Cursor cursor;
  std::uint64_t first = chunk * rows_per_chunk_;
  cursor.rows_left = std::min(rows_per_chunk_, rows() - first);
  cursor.end = plan_.row_bytes;
  if (rows_per_chunk_ == 0) {
    first = chunk / slices_per_row_;
    cursor.rows_left = 1;
    cursor.begin = chunk % slices_per_row_ * slice_bytes_;
    cursor.end = std::min(plan_.row_bytes, cursor.begin + slice_bytes_);
  }
  cursor.plane = static_cast<std::uint32_t>(first / plan_.blocks);
  const std::uint64_t in_plane = first % plan_.blocks;
  const auto after = std::ranges::upper_bound(rows_before_, in_plane);
  cursor.run = static_cast<std::size_t>(after - rows_before_.begin()) - 1;
  cursor.in_run = static_cast<std::uint32_t>(in_plane - rows_before_[cursor.run]);
  return cursor;
}

Piece Chunks::next(Cursor& cursor) const noexcept {
  const plan::Run& run = plan_.runs[cursor.run];
  const std::uint64_t source_id = static_cast<std::uint64_t>(run.src) + cursor.in_run;
  const std::uint64_t target_id = static_cast<std::uint64_t>(run.dst) + cursor.in_run;
  Piece piece{
      plan_.source.plane_base[cursor.plane] + source_id * plan_.source.block_stride + cursor.begin,
      plan_.target.plane_base[cursor.plane] + target_id * plan_.target.block_stride + cursor.begin,
      cursor.end - cursor.begin};
  std::uint64_t rows = 1;
  if (plan_.dense_runs && rows_per_chunk_ > 0) {
    rows = std::min<std::uint64_t>(cursor.rows_left, run.count - cursor.in_run);
    piece.bytes *= rows;
  }
  cursor.rows_left -= rows;
  cursor.in_run += static_cast<std::uint32_t>(rows);
  if (cursor.in_run == run.count) {
    cursor.in_run = 0;
    ++cursor.run;
  }
  if (cursor.run == plan_.runs.size()) {
    cursor.run = 0;
    ++cursor.plane;
  }
  return piece;
}

}  // namespace kvferry::path::host
