#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plan/plan.hpp"
#include "wire/messages.hpp"

namespace kvferry::path::tcp {

using wire::IdRun;

// Where a pool's rows lie: the planes of the layers that move, layer by layer.
struct RowLayout {
  std::vector<std::uint64_t> plane_base;  // layers * parts
  std::uint32_t parts = 1;
  std::uint64_t block_stride = 0;
  std::uint64_t row_bytes = 0;  // block_bytes / parts
};
// Of the layers [begin, end) of a map. Requires: the map has them.
RowLayout layout_of(const plan::BlockMap& map, std::uint32_t begin, std::uint32_t end);

// One side of a transfer as one stream of bytes, in the order both sides share whatever their
// memory looks like: layer by layer, in each the blocks in the caller's order, in each block the
// keys and then the values. Byte k of the stream is the same byte on both sides. Immutable.
class PackedRows {
 public:
  PackedRows(RowLayout layout, std::vector<IdRun> runs);

  std::uint64_t bytes() const noexcept { return bytes_; }
  std::uint64_t blocks() const noexcept { return blocks_; }
  std::uint64_t layers() const noexcept { return layout_.plane_base.size() / layout_.parts; }
  std::uint64_t block_bytes() const noexcept { return layout_.row_bytes * layout_.parts; }
  const RowLayout& layout() const noexcept { return layout_; }
  const std::vector<IdRun>& runs() const noexcept { return runs_; }
  // Blocks of the runs before this one.
  std::uint64_t blocks_before(std::size_t run) const noexcept { return before_[run]; }
  // The run that holds the block at this place of the list. Requires: place < blocks().
  std::size_t run_of(std::uint64_t place) const noexcept;

 private:
  RowLayout layout_;
  std::vector<IdRun> runs_;
  std::vector<std::uint64_t> before_;
  std::uint64_t blocks_ = 0;
  std::uint64_t bytes_ = 0;
  bool dense_ = false;  // the blocks of a run are one contiguous piece
  friend class RowCursor;
};

// A way through a range of the stream, piece by piece.
class RowCursor {
 public:
  struct Piece {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
  };
  RowCursor() = default;
  // Requires: the range lies within rows.bytes(); `rows` outlives the cursor.
  RowCursor(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes);

  std::uint64_t left() const noexcept { return left_; }
  // The next contiguous piece; one of no bytes at the end.
  Piece next() noexcept;

 private:
  const PackedRows* rows_ = nullptr;
  std::uint64_t left_ = 0;
  std::uint64_t layer_ = 0;
  std::size_t run_ = 0;
  std::uint32_t in_run_ = 0;
  std::uint32_t part_ = 0;
  std::uint64_t in_row_ = 0;
};

// The next few pieces of a range as the kernel takes them. More than 16 at once bring nothing
// (shared measurements of sockets on loopback: 8 to 16 pieces a call are best).
class PieceBatch {
 public:
  static constexpr std::size_t kMost = 16;

  PieceBatch() = default;
  explicit PieceBatch(RowCursor cursor) noexcept : cursor_(cursor) {}
  // One contiguous piece.
  PieceBatch(std::byte* base, std::uint64_t bytes) noexcept;

  // As many pieces as are to be had.
  std::span<iovec> fill() noexcept;
  // The first so many bytes of them are done with.
  void consume(std::uint64_t bytes) noexcept;
  bool empty() const noexcept { return count_ == 0 && cursor_.left() == 0; }

 private:
  RowCursor cursor_;
  std::array<iovec, kMost> pieces_{};
  std::size_t first_ = 0, count_ = 0;
};

}  // namespace kvferry::path::tcp
