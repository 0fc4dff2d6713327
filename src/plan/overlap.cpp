#include "plan/overlap.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "kvferry/error.hpp"

namespace kvferry::plan {
namespace {

// How far from a plane's base one side's rows begin and end.
struct Reach {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// The lowest and the highest plane.
Range plane_range(const Side& side) {
  const std::uint64_t first = side.plane_base.front(), last = side.plane_base.back();
  const std::uint64_t steps = side.plane_base.size() - 1;
  // As most sides are: evenly spaced, ascending, and without wrapping around.
  std::uint64_t apart = 0;
  if (side.even && !__builtin_mul_overflow(steps, side.plane_stride, &apart) && last >= first)
    return {first, last};
  const auto [low, high] = std::minmax_element(side.plane_base.begin(), side.plane_base.end());
  return {*low, *high};
}

// A range of addresses that all of one side's rows lie in.
Range address_range(const Side& side, std::uint64_t row_bytes, std::uint32_t highest,
                    const char* name) {
  const Range planes = plane_range(side);
  Range range{planes.begin, 0};
  bool wraps = __builtin_mul_overflow(highest, side.block_stride, &range.end);
  wraps |= __builtin_add_overflow(range.end, row_bytes, &range.end);
  wraps |= __builtin_add_overflow(planes.end, range.end, &range.end);
  if (wraps) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} block {} would lie beyond the end of the address space (planes "
                            "from {:#x} to {:#x}, {} bytes a block)",
                            name, highest, planes.begin, planes.end, side.block_stride));
  }
  return range;
}

std::vector<std::uint32_t> sorted_ids(const std::vector<Run>& runs, std::uint32_t Run::* first) {
  std::vector<std::uint32_t> ids;
  for (const Run& run : runs) {
    for (std::uint32_t i = 0; i < run.count; ++i) ids.push_back(run.*first + i);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

// A source and a target plane whose rows may meet.
struct Pair {
  std::uint64_t source = 0;
  std::uint64_t target = 0;
  std::uint64_t distance() const noexcept { return target - source; }
};

// Pairs of planes whose ranges of addresses meet, one for each distance between planes: all planes
// of a side have the same rows, so pairs that are equally far apart give the same answer.
std::vector<Pair> near_pairs(const Plan& plan, const Reach& reads, const Reach& writes) {
  std::vector<std::uint64_t> sources = plan.source.plane_base, targets = plan.target.plane_base;
  std::sort(sources.begin(), sources.end());
  std::sort(targets.begin(), targets.end());
  std::vector<Pair> pairs;
  const auto deduplicate = [&pairs] {
    std::sort(pairs.begin(), pairs.end(),
              [](const Pair& a, const Pair& b) { return a.distance() < b.distance(); });
    pairs.erase(
        std::unique(pairs.begin(), pairs.end(),
                    [](const Pair& a, const Pair& b) { return a.distance() == b.distance(); }),
        pairs.end());
  };
  std::size_t first = 0, limit = 4096;
  for (const std::uint64_t source : sources) {
    while (first < targets.size() && targets[first] + writes.end <= source + reads.begin) ++first;
    for (std::size_t t = first; t < targets.size(); ++t) {
      if (targets[t] + writes.begin >= source + reads.end) break;
      pairs.push_back({source, targets[t]});
    }
    if (pairs.size() > limit) {
      deduplicate();
      limit = std::max<std::size_t>(4096, 2 * pairs.size());
    }
  }
  deduplicate();
  return pairs;
}

struct Meeting {
  std::uint32_t source_id = 0;
  std::uint32_t target_id = 0;
};

// Whether any rows of two planes share a byte. Both lists ascend and all rows have one length, so
// of two that do not meet, the lower one meets nothing that follows on the other side.
bool rows_meet(const Plan& plan, const Pair& pair, const std::vector<std::uint32_t>& source_ids,
               const std::vector<std::uint32_t>& target_ids, Meeting& where) {
  std::size_t s = 0, t = 0;
  while (s < source_ids.size() && t < target_ids.size()) {
    const std::uint64_t read = pair.source + source_ids[s] * plan.source.block_stride;
    const std::uint64_t written = pair.target + target_ids[t] * plan.target.block_stride;
    if (std::max(read, written) - std::min(read, written) < plan.row_bytes) {
      where = {source_ids[s], target_ids[t]};
      return true;
    }
    if (read < written) {
      ++s;
    } else {
      ++t;
    }
  }
  return false;
}

Reach reach_of(const Side& side, std::uint64_t row_bytes, const std::vector<std::uint32_t>& ids) {
  return {ids.front() * side.block_stride, ids.back() * side.block_stride + row_bytes};
}

void check_no_overlap(const Plan& plan) {
  const auto source_ids = sorted_ids(plan.runs, &Run::src);
  const auto target_ids = sorted_ids(plan.runs, &Run::dst);
  const Reach reads = reach_of(plan.source, plan.row_bytes, source_ids);
  const Reach writes = reach_of(plan.target, plan.row_bytes, target_ids);
  for (const Pair& pair : near_pairs(plan, reads, writes)) {
    Meeting where;
    if (rows_meet(plan, pair, source_ids, target_ids, where)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("source block {} and target block {} overlap in memory: a transfer "
                              "cannot read what it writes. Split it, or go through other blocks",
                              where.source_id, where.target_id));
    }
  }
}

}  // namespace

void check_addresses(const Plan& plan, std::uint32_t highest_read, std::uint32_t highest_written,
                     bool one_address_space) {
  if (plan.runs.empty()) return;
  const Range read = address_range(plan.source, plan.row_bytes, highest_read, "source");
  const Range written = address_range(plan.target, plan.row_bytes, highest_written, "target");
  if (!one_address_space || read.end <= written.begin || written.end <= read.begin) return;
  check_no_overlap(plan);
}

}  // namespace kvferry::plan
