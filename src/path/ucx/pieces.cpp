#include "path/ucx/pieces.hpp"

#include <algorithm>

namespace kvferry::path::ucx {

void Pieces::rewind() {
  plane_ = plan_.row_bytes == 0 ? plan_.planes : 0;
  run_ = 0;
  in_run_ = 0;
  stretch_ = {};
}

bool Pieces::next_stretch() {
  // A run of no blocks is skipped.
  while (run_ < plan_.runs.size() && in_run_ == plan_.runs[run_].count) {
    ++run_;
    in_run_ = 0;
  }
  if (run_ == plan_.runs.size()) {
    if (plan_.runs.empty() || ++plane_ >= plan_.planes) return false;
    run_ = 0;
    in_run_ = 0;
    return next_stretch();
  }
  const plan::Run& run = plan_.runs[run_];
  const std::uint32_t rows = plan_.dense_runs ? run.count - in_run_ : 1;
  stretch_ = {plan_.source.plane_base[plane_] +
                  (std::uint64_t{run.src} + in_run_) * plan_.source.block_stride,
              plan_.target.plane_base[plane_] +
                  (std::uint64_t{run.dst} + in_run_) * plan_.target.block_stride,
              rows * plan_.row_bytes};
  in_run_ += rows;
  return true;
}

std::optional<Piece> Pieces::next() {
  if (stretch_.bytes == 0 && (plane_ >= plan_.planes || !next_stretch())) return std::nullopt;
  const std::uint64_t bytes = std::min(stretch_.bytes, kMaxBytes);
  const Piece piece{stretch_.source, stretch_.target, bytes};
  stretch_ = {stretch_.source + bytes, stretch_.target + bytes, stretch_.bytes - bytes};
  return piece;
}

}  // namespace kvferry::path::ucx
