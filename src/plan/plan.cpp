#include "plan/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kvferry/error.hpp"
#include "plan/distinct_ids.hpp"
#include "plan/overlap.hpp"

namespace kvferry::plan {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

struct Layers {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

// The layers of one map, which must be sound on its own: a plan multiplies these numbers.
std::uint64_t check_map(const BlockMap& map, const char* side) {
  if (map.parts < 1 || map.parts > 2 || map.plane_base.size() % map.parts != 0) {
    refuse(fmt::format("the {} map has {} planes in {} parts a layer", side, map.plane_base.size(),
                       map.parts));
  }
  if (map.row_bytes == 0 || map.row_bytes > kMaxRowBytes ||
      (map.blocks > 1 && map.block_stride < map.row_bytes)) {
    refuse(fmt::format("the {} map has rows of {} bytes every {} bytes", side, map.row_bytes,
                       map.block_stride));
  }
  return map.plane_base.size() / map.parts;
}

Layers check_layers(const BlockMap& source, const BlockMap& target, LayerRange range) {
  const std::uint64_t layers = check_map(source, "source");
  const std::uint64_t target_layers = check_map(target, "target");
  if (layers != target_layers ||
      source.row_bytes * source.parts != target.row_bytes * target.parts) {
    refuse(fmt::format("source and target differ: {} and {} layers, blocks of {} and {} bytes",
                       layers, target_layers, source.row_bytes * source.parts,
                       target.row_bytes * target.parts));
  }
  const std::uint64_t end = std::min<std::uint64_t>(range.end, layers);
  if (range.begin >= end) {
    refuse(fmt::format("the layer range {}:{} is empty; the pool has layers 0:{}", range.begin,
                       range.end, layers));
  }
  return {range.begin, static_cast<std::uint32_t>(end)};
}

// The planes of the layer range, `parts` a layer: as many as the map has, or twice that, where
// the map keeps keys and values together and the other side does not. Then a plane is one half of
// every block, and blocks stay as far apart as they were.
void make_side(const BlockMap& map, Layers layers, std::uint32_t parts, std::uint64_t row_bytes,
               Side& side) {
  side.block_stride = map.block_stride;
  const auto all = std::span(map.plane_base);
  const auto used = all.subspan(std::size_t{layers.begin} * map.parts,
                                std::size_t{layers.end - layers.begin} * map.parts);
  if (map.parts == parts) {
    side.plane_base.assign(used.begin(), used.end());
  } else {
    side.plane_base.clear();
    side.plane_base.reserve(2 * used.size());
    for (const std::uint64_t base : used) {
      side.plane_base.push_back(base);
      side.plane_base.push_back(base + row_bytes);
    }
  }
  const auto bases = std::span(std::as_const(side.plane_base));
  side.plane_stride = bases.size() > 1 ? bases[1] - bases[0] : 0;
  // Without an end in between, so that the compiler looks at several at once.
  std::uint64_t odd = 0;
  for (std::size_t p = 1; p < bases.size(); ++p) odd |= bases[p] - bases[p - 1] - side.plane_stride;
  side.even = odd == 0;
  if (!side.even) side.plane_stride = 0;
}

// Returns the highest. Written so that the compiler looks at many ids at once; the place is looked
// for only where there is something wrong.
std::uint32_t check_ids(const char* side, std::span<const std::uint32_t> ids,
                        std::uint32_t blocks) {
  std::uint32_t highest = 0;
  for (const std::uint32_t id : ids) highest = std::max(highest, id);
  if (ids.empty() || highest < blocks) return highest;
  const auto wrong = std::find_if(ids.begin(), ids.end(), [=](auto id) { return id >= blocks; });
  refuse(fmt::format("{} id {} at place {} is out of range: the pool has {} blocks", side, *wrong,
                     wrong - ids.begin(), blocks));
}

void check_target_distinct(std::span<const std::uint32_t> ids, std::uint32_t highest) {
  const auto place = find_repeated(ids, highest);
  if (!place) return;
  const std::uint32_t id = ids[*place];
  const auto first = std::find(ids.begin(), ids.end(), id) - ids.begin();
  refuse(fmt::format("target id {} at place {} is already at place {}: a block can be written once",
                     id, *place, first));
}

// Requires: as many of the one as of the other; ids below 2^32 - 1, so that none has 0 as its next.
void merge_runs(std::span<const std::uint32_t> source_ids,
                std::span<const std::uint32_t> target_ids, std::vector<Run>& runs) {
  runs.resize(source_ids.size());
  Run* end = runs.data();
  // What would continue the run, which is in `end[-1]`.
  std::uint32_t next_src = 0, next_dst = 0;
  for (std::size_t i = 0; i < source_ids.size(); ++i) {
    const std::uint32_t src = source_ids[i], dst = target_ids[i];
    if (i != 0 && src == next_src && dst == next_dst) {
      ++end[-1].count;
    } else {
      *end++ = {src, dst, 1};
    }
    next_src = src + 1;
    next_dst = dst + 1;
  }
  runs.resize(static_cast<std::size_t>(end - runs.data()));
}

}  // namespace

std::uint64_t Plan::pieces() const noexcept {
  return std::uint64_t{planes} * (dense_runs ? runs.size() : blocks);
}

Plan make_plan(const BlockMap& source, const BlockMap& target,
               std::span<const std::uint32_t> source_ids, std::span<const std::uint32_t> target_ids,
               LayerRange layers) {
  Plan plan;
  make_plan(source, target, source_ids, target_ids, layers, plan);
  return plan;
}

void make_plan(const BlockMap& source, const BlockMap& target,
               std::span<const std::uint32_t> source_ids, std::span<const std::uint32_t> target_ids,
               LayerRange layers, Plan& plan) {
  if (source_ids.size() != target_ids.size()) {
    refuse(fmt::format("{} source ids but {} target ids: the lists must have the same length",
                       source_ids.size(), target_ids.size()));
  }
  const Layers range = check_layers(source, target, layers);
  const std::uint32_t parts = std::max(source.parts, target.parts);
  plan.row_bytes = std::min(source.row_bytes, target.row_bytes);
  make_side(source, range, parts, plan.row_bytes, plan.source);
  make_side(target, range, parts, plan.row_bytes, plan.target);
  plan.planes = static_cast<std::uint32_t>(plan.source.plane_base.size());
  const std::uint32_t highest_read = check_ids("source", source_ids, source.blocks);
  const std::uint32_t highest_written = check_ids("target", target_ids, target.blocks);
  check_target_distinct(target_ids, highest_written);
  merge_runs(source_ids, target_ids, plan.runs);
  // Fits: the target ids are distinct and below a 32-bit number of blocks.
  plan.blocks = static_cast<std::uint32_t>(target_ids.size());
  plan.id_limit = std::max(source.blocks, target.blocks);
  plan.dense_runs =
      plan.source.block_stride == plan.row_bytes && plan.target.block_stride == plan.row_bytes;
  check_addresses(plan, highest_read, highest_written,
                  source.address_space == target.address_space);
}

}  // namespace kvferry::plan
