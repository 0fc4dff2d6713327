#include "path/tcp/stage_plan.hpp"

#include <algorithm>
#include <utility>

namespace kvferry::path::tcp {
namespace {

class Builder {
 public:
  Builder(const PackedRows& rows, std::uint64_t stage, bool pack)
      : rows_(rows), layout_(rows.layout()), stage_(stage), pack_(pack) {}

  // Part of a block: piece by piece.
  void bytes(std::uint64_t offset, std::uint64_t count) {
    RowCursor cursor(rows_, offset, count);
    for (auto piece = cursor.next(); piece.bytes > 0; piece = cursor.next()) {
      plan::Plan plan;
      plan.row_bytes = piece.bytes;
      plan.blocks = plan.planes = 1;
      plan.runs = {{0, 0, 1}};
      plan::Side pool = side({piece.address}, piece.bytes), stage = side({stage_}, piece.bytes);
      add(std::move(plan), std::move(pool), std::move(stage));
      stage_ += piece.bytes;
    }
  }
  // Whole blocks: places [first, end) of the list, in layers [layer, last).
  void blocks(std::uint64_t layer, std::uint64_t last, std::uint64_t first, std::uint64_t end) {
    if (layer == last || first == end) return;
    const std::uint64_t layer_bytes = (end - first) * rows_.block_bytes();
    for (std::uint32_t part = 0; part < layout_.parts; ++part) {
      plan::Plan plan;
      plan.row_bytes = layout_.row_bytes;
      plan.blocks = static_cast<std::uint32_t>(end - first);
      plan.planes = static_cast<std::uint32_t>(last - layer);
      runs(first, end, plan.runs);
      std::vector<std::uint64_t> in_pool, in_stage;
      for (std::uint64_t l = layer; l < last; ++l) {
        in_pool.push_back(layout_.plane_base[l * layout_.parts + part]);
        in_stage.push_back(stage_ + (l - layer) * layer_bytes + part * layout_.row_bytes);
      }
      add(std::move(plan), side(std::move(in_pool), layout_.block_stride),
          side(std::move(in_stage), rows_.block_bytes()));
    }
    stage_ += (last - layer) * layer_bytes;
  }
  std::vector<plan::Plan> take() { return std::move(plans_); }

 private:
  static plan::Side side(std::vector<std::uint64_t> bases, std::uint64_t block_stride) {
    plan::Side side;
    side.block_stride = block_stride;
    side.even = true;
    side.plane_stride = bases.size() > 1 ? bases[1] - bases[0] : 0;
    for (std::size_t p = 1; p < bases.size() && side.even; ++p)
      side.even = bases[p] - bases[p - 1] == side.plane_stride;
    if (!side.even) side.plane_stride = 0;
    side.plane_base = std::move(bases);
    return side;
  }
  void runs(std::uint64_t first, std::uint64_t end, std::vector<plan::Run>& out) const {
    std::size_t run = rows_.run_of(first);
    for (std::uint64_t at = first; at < end; ++run) {
      const IdRun& ids = rows_.runs()[run];
      const auto in_run = static_cast<std::uint32_t>(at - rows_.blocks_before(run));
      const auto count =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(ids.count - in_run, end - at));
      const auto place = static_cast<std::uint32_t>(at - first);
      out.push_back(pack_ ? plan::Run{ids.first + in_run, place, count}
                          : plan::Run{place, ids.first + in_run, count});
      at += count;
    }
  }
  void add(plan::Plan plan, plan::Side pool, plan::Side stage) {
    plan.source = pack_ ? std::move(pool) : std::move(stage);
    plan.target = pack_ ? std::move(stage) : std::move(pool);
    plan.dense_runs =
        plan.source.block_stride == plan.row_bytes && plan.target.block_stride == plan.row_bytes;
    plans_.push_back(std::move(plan));
  }

  const PackedRows& rows_;
  const RowLayout& layout_;
  std::uint64_t stage_;
  const bool pack_;
  std::vector<plan::Plan> plans_;
};

}  // namespace

std::vector<plan::Plan> stage_plans(const PackedRows& rows, std::uint64_t offset,
                                    std::uint64_t bytes, std::uint64_t stage, bool pack) {
  Builder out(rows, stage, pack);
  const std::uint64_t block_bytes = rows.block_bytes(), blocks = rows.blocks();
  const std::uint64_t end = offset + bytes;
  const std::uint64_t first_whole = (offset + block_bytes - 1) / block_bytes;
  const std::uint64_t end_whole = end / block_bytes;
  if (first_whole > end_whole) {  // within one block
    out.bytes(offset, bytes);
    return out.take();
  }
  if (offset < first_whole * block_bytes) out.bytes(offset, first_whole * block_bytes - offset);
  for (std::uint64_t at = first_whole; at < end_whole;) {
    const std::uint64_t layer = at / blocks, place = at % blocks;
    const std::uint64_t whole_layers = place == 0 ? (end_whole - at) / blocks : 0;
    if (whole_layers > 0) {
      out.blocks(layer, layer + whole_layers, 0, blocks);
      at += whole_layers * blocks;
    } else {
      const std::uint64_t last = std::min(blocks, place + (end_whole - at));
      out.blocks(layer, layer + 1, place, last);
      at += last - place;
    }
  }
  if (end > end_whole * block_bytes) out.bytes(end_whole * block_bytes, end % block_bytes);
  return out.take();
}

}  // namespace kvferry::path::tcp
