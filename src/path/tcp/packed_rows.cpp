#include "path/tcp/packed_rows.hpp"

#include <algorithm>
#include <utility>

namespace kvferry::path::tcp {

RowLayout layout_of(const plan::BlockMap& map, std::uint32_t begin, std::uint32_t end) {
  RowLayout layout;
  const auto first = map.plane_base.begin();
  layout.plane_base.assign(first + static_cast<std::ptrdiff_t>(std::size_t{begin} * map.parts),
                           first + static_cast<std::ptrdiff_t>(std::size_t{end} * map.parts));
  layout.parts = map.parts;
  layout.block_stride = map.block_stride;
  layout.row_bytes = map.row_bytes;
  return layout;
}

PackedRows::PackedRows(RowLayout layout, std::vector<IdRun> runs)
    : layout_(std::move(layout)), runs_(std::move(runs)) {
  before_.reserve(runs_.size());
  for (const IdRun& run : runs_) {
    before_.push_back(blocks_);
    blocks_ += run.count;
  }
  bytes_ = blocks_ * block_bytes() * layers();
  dense_ = layout_.parts == 1 && layout_.block_stride == layout_.row_bytes;
}

std::size_t PackedRows::run_of(std::uint64_t place) const noexcept {
  const auto after = std::upper_bound(before_.begin(), before_.end(), place);
  return static_cast<std::size_t>(after - before_.begin()) - 1;
}

RowCursor::RowCursor(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes)
    : rows_(&rows), left_(bytes) {
  if (bytes == 0) return;
  const RowLayout& layout = rows.layout_;
  const std::uint64_t block_bytes = rows.block_bytes();
  const std::uint64_t block = offset / block_bytes;
  const std::uint64_t in_block = offset - block * block_bytes;
  layer_ = block / rows.blocks_;
  const std::uint64_t place = block - layer_ * rows.blocks_;
  run_ = rows.run_of(place);
  in_run_ = static_cast<std::uint32_t>(place - rows.before_[run_]);
  part_ = static_cast<std::uint32_t>(in_block / layout.row_bytes);
  in_row_ = in_block - part_ * layout.row_bytes;
}

RowCursor::Piece RowCursor::next() noexcept {
  if (left_ == 0) return {};
  const RowLayout& layout = rows_->layout_;
  const IdRun& run = rows_->runs_[run_];
  Piece piece;
  piece.address = layout.plane_base[layer_ * layout.parts + part_] +
                  std::uint64_t{run.first + in_run_} * layout.block_stride + in_row_;
  const std::uint64_t rows = rows_->dense_ ? run.count - in_run_ : 1;
  piece.bytes = std::min(rows * layout.row_bytes - in_row_, left_);
  left_ -= piece.bytes;
  // What is left of the last row does not matter: the range ends there.
  if (left_ == 0) return piece;
  in_row_ = 0;
  if (++part_ < layout.parts) return piece;
  part_ = 0;
  in_run_ += static_cast<std::uint32_t>(rows);
  if (in_run_ < run.count) return piece;
  in_run_ = 0;
  if (++run_ < rows_->runs_.size()) return piece;
  run_ = 0;
  ++layer_;
  return piece;
}

PieceBatch::PieceBatch(std::byte* base, std::uint64_t bytes) noexcept {
  if (bytes == 0) return;
  pieces_[0] = {base, bytes};
  count_ = 1;
}

std::span<iovec> PieceBatch::fill() noexcept {
  if (first_ > 0 && first_ + count_ == kMost) {
    std::copy_n(pieces_.begin() + static_cast<std::ptrdiff_t>(first_), count_, pieces_.begin());
    first_ = 0;
  }
  while (first_ + count_ < kMost && cursor_.left() > 0) {
    const auto piece = cursor_.next();
    pieces_[first_ + count_++] = {reinterpret_cast<void*>(piece.address), piece.bytes};
  }
  return {pieces_.data() + first_, count_};
}

void PieceBatch::consume(std::uint64_t bytes) noexcept {
  while (count_ > 0 && bytes >= pieces_[first_].iov_len) {
    bytes -= pieces_[first_].iov_len;
    ++first_;
    if (--count_ == 0) first_ = 0;
  }
  if (bytes == 0) return;
  pieces_[first_].iov_base = static_cast<std::byte*>(pieces_[first_].iov_base) + bytes;
  pieces_[first_].iov_len -= bytes;
}

}  // namespace kvferry::path::tcp
