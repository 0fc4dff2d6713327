#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kvferry/error.hpp"
#include "plan/plan.hpp"

// Random transfers, executed as their plan says and as a reference that knows nothing of plans.
namespace kvferry::plan {
namespace {

using Bytes = std::vector<std::uint8_t>;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // From low to high, both included.
  std::uint32_t operator()(std::uint32_t low, std::uint32_t high) {
    return std::uniform_int_distribution<std::uint32_t>(low, high)(engine_);
  }
  bool chance(std::uint32_t percent) { return (*this)(1, 100) <= percent; }
  template <typename List>
  void shuffle(List& list) {
    std::shuffle(list.begin(), list.end(), engine_);
  }

 private:
  std::mt19937_64 engine_;
};

// A pool in a buffer: addresses in the map are offsets from `origin`.
struct Side {
  BlockMap map;
  std::size_t bytes = 0;
};

constexpr std::uint64_t kOrigin = 0x7000'0000'0000;

// Planes in any order with gaps between them, or interleaved as a block-major pool has them.
Side random_side(Random& random, std::uint32_t layers, std::uint32_t block_bytes, bool may_split,
                 std::uint64_t origin) {
  Side side;
  BlockMap& map = side.map;
  map.parts = may_split && random.chance(50) ? 2 : 1;
  map.row_bytes = block_bytes / map.parts;
  map.blocks = random(1, 24);
  const std::uint32_t planes = layers * map.parts;
  std::uint64_t next = random(0, 40);
  std::vector<std::uint64_t> bases(planes);
  if (random.chance(20)) {
    for (auto& base : bases) {
      base = next;
      next += map.row_bytes + (random.chance(30) ? random(1, 5) : 0);
    }
    map.block_stride = next - bases[0] + random(0, 8);
    next = bases[0] + map.blocks * map.block_stride;
  } else {
    const bool even = random.chance(50);
    map.block_stride = map.row_bytes + (random.chance(50) ? random(1, 20) : 0);
    for (auto& base : bases) {
      base = next;
      next += map.blocks * map.block_stride + (even ? 16 : random(0, 50));
    }
    if (random.chance(30)) random.shuffle(bases);
  }
  for (const auto base : bases) map.plane_base.push_back(origin + base);
  side.bytes = next;
  return side;
}

// Distinct when `distinct`; often with runs of neighbours.
std::vector<std::uint32_t> random_ids(Random& random, std::uint32_t count, std::uint32_t blocks,
                                      bool distinct) {
  std::vector<std::uint32_t> ids(blocks);
  std::iota(ids.begin(), ids.end(), 0u);
  if (random.chance(60)) random.shuffle(ids);
  if (random.chance(40)) {
    std::rotate(ids.begin(), ids.begin() + random(0, blocks - 1), ids.end());
  }
  while (ids.size() < count) ids.push_back(random(0, blocks - 1));
  if (!distinct && random.chance(30)) {
    for (auto& id : ids) id = random(0, blocks - 1);
  }
  ids.resize(count);
  return ids;
}

struct Case {
  Side source, target;
  std::vector<std::uint32_t> source_ids, target_ids;
  std::uint32_t block_bytes = 0;
  LayerRange layers;
  std::uint32_t last_layer = 0;  // end of the range, clipped
};

Case random_case(Random& random, std::uint64_t target_origin) {
  Case c;
  const std::uint32_t layers = random(1, 6);
  const bool two = random.chance(70);  // keys and values: the block can be split
  c.block_bytes = random(1, 24) * (two ? 2 : 1);
  c.source = random_side(random, layers, c.block_bytes, two, kOrigin);
  c.target = random_side(random, layers, c.block_bytes, two, target_origin);
  const std::uint32_t count = random(0, c.target.map.blocks);
  c.source_ids = random_ids(random, count, c.source.map.blocks, false);
  c.target_ids = random_ids(random, count, c.target.map.blocks, true);
  if (random.chance(50)) {
    c.layers.begin = random(0, layers - 1);
    c.layers.end = random.chance(30) ? UINT32_MAX : random(c.layers.begin + 1, layers + 2);
  }
  c.last_layer = std::min(c.layers.end, layers);
  return c;
}

// Byte `byte` of a block in a layer, as an address: straight from the definition of a BlockMap.
std::uint64_t address(const BlockMap& map, std::uint32_t layer, std::uint32_t block,
                      std::uint64_t byte) {
  const std::uint64_t part = byte / map.row_bytes;
  return map.plane_base[layer * map.parts + part] + block * map.block_stride + byte % map.row_bytes;
}

void copy_naively(const Case& c, std::uint64_t target_origin, const Bytes& from, Bytes& to) {
  for (std::uint32_t layer = c.layers.begin; layer < c.last_layer; ++layer) {
    for (std::size_t i = 0; i < c.source_ids.size(); ++i) {
      for (std::uint32_t byte = 0; byte < c.block_bytes; ++byte) {
        to[address(c.target.map, layer, c.target_ids[i], byte) - target_origin] =
            from[address(c.source.map, layer, c.source_ids[i], byte) - kOrigin];
      }
    }
  }
}

// As an executor would: the even form of a side where it has one, whole runs where they are dense.
std::uint64_t execute(const Plan& plan, std::uint64_t target_origin, const Bytes& from, Bytes& to) {
  const auto plane = [](const kvferry::plan::Side& side, std::uint32_t p) {
    return side.even ? side.plane_base[0] + p * side.plane_stride : side.plane_base[p];
  };
  std::uint64_t pieces = 0;
  for (std::uint32_t p = 0; p < plan.planes; ++p) {
    for (const Run& run : plan.runs) {
      const std::uint32_t steps = plan.dense_runs ? 1 : run.count;
      const std::uint64_t bytes = plan.row_bytes * (plan.dense_runs ? run.count : 1);
      for (std::uint32_t i = 0; i < steps; ++i, ++pieces) {
        const auto src = plane(plan.source, p) + (run.src + i) * plan.source.block_stride;
        const auto dst = plane(plan.target, p) + (run.dst + i) * plan.target.block_stride;
        std::memcpy(to.data() + (dst - target_origin), from.data() + (src - kOrigin), bytes);
      }
    }
  }
  return pieces;
}

TEST(PlanProperty, MovesWhatTheReferenceMoves) {
  constexpr std::uint64_t kTargetOrigin = kOrigin + (1ull << 32);
  Random random(20240607);
  std::uint64_t moved = 0, merged = 0, joint = 0;
  for (int trial = 0; trial < 40'000; ++trial) {
    const Case c = random_case(random, kTargetOrigin);
    Bytes from(c.source.bytes), before(c.target.bytes);
    for (auto& byte : from) byte = static_cast<std::uint8_t>(random(0, 127));
    for (auto& byte : before) byte = static_cast<std::uint8_t>(random(128, 255));
    Bytes expected = before, actual = before;
    copy_naively(c, kTargetOrigin, from, expected);
    const Plan plan = make_plan(c.source.map, c.target.map, c.source_ids, c.target_ids, c.layers);
    const std::uint64_t pieces = execute(plan, kTargetOrigin, from, actual);
    ASSERT_EQ(actual, expected) << "trial " << trial;
    ASSERT_EQ(pieces, plan.pieces()) << "trial " << trial;
    ASSERT_EQ(plan.bytes(),
              std::uint64_t{c.last_layer - c.layers.begin} * c.source_ids.size() * c.block_bytes);
    moved += plan.bytes();
    merged += plan.runs.size() < c.source_ids.size() ? 1 : 0;
    joint += c.source.map.parts != c.target.map.parts ? 1 : 0;
  }
  // The trials did meet what they are meant to meet.
  EXPECT_GT(moved, 1'000'000u);
  EXPECT_GT(merged, 5'000u);
  EXPECT_GT(joint, 5'000u);
}

// Two pools that share memory, or one pool with itself: refused exactly when a byte that is read
// is also written.
TEST(PlanProperty, RefusesExactlyTheOverlaps) {
  Random random(7);
  int refused = 0, accepted_near = 0;
  for (int trial = 0; trial < 20'000; ++trial) {
    const std::uint64_t target_origin = kOrigin + random(0, 3000);
    Case c = random_case(random, target_origin);
    if (random.chance(40)) {
      c.target = c.source;
      c.target_ids = random_ids(random, random(0, std::min<std::uint32_t>(c.target.map.blocks, 4)),
                                c.target.map.blocks, true);
      c.source_ids = random_ids(random, static_cast<std::uint32_t>(c.target_ids.size()),
                                c.source.map.blocks, false);
    }
    std::vector<std::uint64_t> read, written, both;
    for (std::uint32_t layer = c.layers.begin; layer < c.last_layer; ++layer) {
      for (std::uint32_t byte = 0; byte < c.block_bytes; ++byte) {
        for (const auto id : c.source_ids) read.push_back(address(c.source.map, layer, id, byte));
        for (const auto id : c.target_ids) {
          written.push_back(address(c.target.map, layer, id, byte));
        }
      }
    }
    std::sort(read.begin(), read.end());
    std::sort(written.begin(), written.end());
    std::set_intersection(read.begin(), read.end(), written.begin(), written.end(),
                          std::back_inserter(both));
    bool threw = false;
    try {
      make_plan(c.source.map, c.target.map, c.source_ids, c.target_ids, c.layers);
    } catch (const Error&) {
      threw = true;
    }
    ASSERT_EQ(threw, !both.empty()) << "trial " << trial;
    const bool near =
        !read.empty() && read.front() <= written.back() && written.front() <= read.back();
    refused += threw ? 1 : 0;
    accepted_near += near && !threw ? 1 : 0;
  }
  EXPECT_GT(refused, 2'000);
  EXPECT_GT(accepted_near, 1'000);
}

}  // namespace
}  // namespace kvferry::plan
