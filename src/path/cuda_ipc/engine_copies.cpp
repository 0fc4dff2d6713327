#include "path/cuda_ipc/engine_copies.hpp"

#include <algorithm>

namespace kvferry::path {
namespace {

std::uint64_t at(const plan::Side& side, std::uint32_t plane, std::uint32_t block) noexcept {
  return side.plane_base[plane] + block * side.block_stride;
}

bool pitch_fits(std::uint64_t pitch, std::uint64_t width, std::uint64_t max_pitch) noexcept {
  return pitch >= width && pitch <= max_pitch;
}

std::uint64_t longest_run(const plan::Plan& plan) noexcept {
  std::uint64_t longest = 0;
  for (const plan::Run& run : plan.runs) longest = std::max<std::uint64_t>(longest, run.count);
  return longest;
}

bool is_whole(const plan::Plan& plan) noexcept {
  if (!plan.dense_runs || plan.runs.size() != 1) return false;
  if (plan.planes == 1) return true;
  const std::uint64_t piece = plan.runs.front().count * plan.row_bytes;
  return plan.source.even && plan.target.even && plan.source.plane_stride == piece &&
         plan.target.plane_stride == piece;
}

}  // namespace

EngineCut cut_for_engine(const plan::Plan& plan, std::uint64_t max_pitch,
                         bool planes_together) noexcept {
  planes_together |= plan.planes == 1;
  if (planes_together && is_whole(plan)) return EngineCut::whole;
  const auto planes_fit = [&](std::uint64_t width) {
    return planes_together && plan.planes > 1 && plan.source.even && plan.target.even &&
           pitch_fits(plan.source.plane_stride, width, max_pitch) &&
           pitch_fits(plan.target.plane_stride, width, max_pitch);
  };
  const std::uint64_t per_run = static_cast<std::uint64_t>(plan.runs.size()) * plan.planes;
  const bool blocks_fit = planes_fit(plan.row_bytes);
  if (plan.dense_runs) {
    if (planes_fit(longest_run(plan) * plan.row_bytes)) return EngineCut::run_planes;
    return blocks_fit && plan.blocks <= per_run ? EngineCut::block_planes : EngineCut::run_pieces;
  }
  const bool rows_fit = pitch_fits(plan.source.block_stride, plan.row_bytes, max_pitch) &&
                        pitch_fits(plan.target.block_stride, plan.row_bytes, max_pitch);
  if (blocks_fit && (!rows_fit || plan.blocks <= per_run)) return EngineCut::block_planes;
  // A pitch that no engine takes leaves the rows one by one.
  return rows_fit ? EngineCut::run_rows : EngineCut::run_pieces;
}

std::uint64_t engine_copies(const plan::Plan& plan, EngineCut cut) noexcept {
  const std::uint64_t runs = plan.runs.size();
  switch (cut) {
    case EngineCut::whole: return 1;
    case EngineCut::run_planes: return runs;
    case EngineCut::block_planes: return plan.blocks;
    case EngineCut::run_rows: return runs * plan.planes;
    case EngineCut::run_pieces:
      return (plan.dense_runs ? runs : plan.blocks) * static_cast<std::uint64_t>(plan.planes);
  }
  return 0;
}

bool is_flat(const plan::Plan& plan, EngineCut cut) noexcept {
  return cut == EngineCut::whole || cut == EngineCut::run_pieces || plan.planes == 1;
}

EngineCopies::EngineCopies(const plan::Plan& plan, EngineCut cut) noexcept
    : plan_(&plan), cut_(cut) {}

bool EngineCopies::next(EngineCopy& copy) noexcept {
  if (rest_.height == 0 || rest_.width == 0) {
    if (!next_whole(copy)) return false;
  } else {
    copy = rest_;
  }
  split(copy);
  return true;
}

bool EngineCopies::next_whole(EngineCopy& copy) noexcept {
  const plan::Plan& p = *plan_;
  if (run_ >= p.runs.size()) return false;
  const plan::Run& run = p.runs[run_];
  const bool by_block =
      cut_ == EngineCut::block_planes || (cut_ == EngineCut::run_pieces && !p.dense_runs);
  const bool by_plane = cut_ == EngineCut::run_rows || cut_ == EngineCut::run_pieces;
  copy.source = at(p.source, plane_, run.src + block_);
  copy.target = at(p.target, plane_, run.dst + block_);
  copy.width = by_block || cut_ == EngineCut::run_rows ? p.row_bytes : run.count * p.row_bytes;
  copy.height = by_plane ? (cut_ == EngineCut::run_rows ? run.count : 1) : p.planes;
  const bool over_planes = !by_plane;
  copy.source_pitch = over_planes ? p.source.plane_stride : p.source.block_stride;
  copy.target_pitch = over_planes ? p.target.plane_stride : p.target.block_stride;
  if (cut_ == EngineCut::whole) {
    copy.width *= p.planes;
    copy.height = 1;
  }
  // The next one: planes fastest, then the run's blocks, then runs.
  if (by_plane && ++plane_ < p.planes) return true;
  plane_ = 0;
  if (by_block && ++block_ < run.count) return true;
  block_ = 0;
  ++run_;
  return true;
}

// Cuts the part that can be posted off the front of the copy, and keeps the rest.
void EngineCopies::split(EngineCopy& copy) noexcept {
  rest_ = copy;
  if (copy.bytes() <= kMaxEngineCopyBytes) {
    rest_.height = 0;
    return;
  }
  if (copy.height > 1) {
    copy.height = std::max<std::uint64_t>(1, kMaxEngineCopyBytes / copy.width);
    rest_.height -= copy.height;
    rest_.source += copy.height * copy.source_pitch;
    rest_.target += copy.height * copy.target_pitch;
    return;
  }
  copy.width = kMaxEngineCopyBytes;
  rest_.width -= copy.width;
  rest_.source += copy.width;
  rest_.target += copy.width;
}

}  // namespace kvferry::path
