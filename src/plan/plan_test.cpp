#include "plan/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "kvferry/error.hpp"

namespace kvferry::plan {
namespace {

using Ids = std::vector<std::uint32_t>;
using testing::HasSubstr;

// `layers` planes, each `blocks` dense rows, one after the other from `base`.
BlockMap dense_map(std::uint64_t base, std::uint32_t layers, std::uint32_t blocks,
                   std::uint64_t row_bytes) {
  BlockMap map;
  map.block_stride = row_bytes;
  map.row_bytes = row_bytes;
  map.blocks = blocks;
  for (std::uint32_t l = 0; l < layers; ++l) {
    map.plane_base.push_back(base + std::uint64_t{l} * blocks * row_bytes);
  }
  return map;
}

// The same memory seen as keys and values apart: K and V halves of every layer.
BlockMap split_map(std::uint64_t base, std::uint32_t layers, std::uint32_t blocks,
                   std::uint64_t block_bytes) {
  BlockMap map = dense_map(base, layers * 2, blocks, block_bytes / 2);
  map.parts = 2;
  return map;
}

const BlockMap kSource = dense_map(0x10000000, 4, 100, 64);
const BlockMap kTarget = dense_map(0x20000000, 4, 50, 64);

std::string message_of(const BlockMap& source, const BlockMap& target, const Ids& from,
                       const Ids& to, LayerRange layers = {}) {
  try {
    make_plan(source, target, from, to, layers);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Plan, MergesNeighboursOnBothSidesOnly) {
  const Plan plan =
      make_plan(kSource, kTarget, Ids{3, 4, 5, 9, 10, 2, 1}, Ids{7, 8, 9, 10, 12, 2, 1}, {});
  EXPECT_THAT(plan.runs,
              testing::ElementsAre(plan::Run{3, 7, 3}, plan::Run{9, 10, 1}, plan::Run{10, 12, 1},
                                   plan::Run{2, 2, 1}, plan::Run{1, 1, 1}));
  EXPECT_EQ(plan.blocks, 7u);
  EXPECT_EQ(plan.planes, 4u);
  EXPECT_TRUE(plan.dense_runs);
  EXPECT_EQ(plan.pieces(), 5u * 4);
  EXPECT_EQ(plan.bytes(), 7u * 4 * 64);
}

TEST(Plan, RepeatedSourceIdsAreFine) {
  const Plan plan = make_plan(kSource, kTarget, Ids{5, 5, 5}, Ids{1, 2, 3}, {});
  EXPECT_EQ(plan.runs.size(), 3u);
}

TEST(Plan, EmptyListMovesNothing) {
  const Plan plan = make_plan(kSource, kTarget, Ids{}, Ids{}, {});
  EXPECT_TRUE(plan.runs.empty());
  EXPECT_EQ(plan.bytes(), 0u);
  EXPECT_EQ(plan.pieces(), 0u);
  // Not even the same pool on both sides overlaps then.
  EXPECT_NO_THROW(make_plan(kSource, kSource, Ids{}, Ids{}, {}));
}

TEST(Plan, ClipsTheLayerRange) {
  const Plan plan = make_plan(kSource, kTarget, Ids{0}, Ids{0}, {2, 99});
  EXPECT_EQ(plan.planes, 2u);
  EXPECT_EQ(plan.source.plane_base[0], kSource.plane_base[2]);
  EXPECT_EQ(plan.target.plane_base[1], kTarget.plane_base[3]);
}

TEST(Plan, SeesEvenlySpacedPlanes) {
  Plan plan = make_plan(kSource, kTarget, Ids{0}, Ids{0}, {});
  EXPECT_TRUE(plan.source.even);
  EXPECT_EQ(plan.source.plane_stride, 6400u);
  BlockMap downward = kTarget;
  std::reverse(downward.plane_base.begin(), downward.plane_base.end());
  plan = make_plan(kSource, downward, Ids{0}, Ids{0}, {});
  EXPECT_TRUE(plan.target.even);
  EXPECT_EQ(plan.target.plane_stride, std::uint64_t{0} - 3200);
  BlockMap uneven = kTarget;
  uneven.plane_base[2] += 8;
  plan = make_plan(kSource, uneven, Ids{0}, Ids{0}, {});
  EXPECT_FALSE(plan.target.even);
  // The layers left over can be even again.
  EXPECT_TRUE(make_plan(kSource, uneven, Ids{0}, Ids{0}, {0, 2}).target.even);
  EXPECT_TRUE(make_plan(kSource, uneven, Ids{0}, Ids{0}, {2, 3}).target.even);
}

TEST(Plan, SplitsTheJointSide) {
  const BlockMap split = split_map(0x20000000, 4, 50, 64);
  const Plan plan = make_plan(kSource, split, Ids{4, 5}, Ids{7, 8}, {1, 3});
  EXPECT_EQ(plan.row_bytes, 32u);
  EXPECT_EQ(plan.planes, 4u);
  EXPECT_EQ(plan.source.block_stride, 64u);
  EXPECT_EQ(plan.target.block_stride, 32u);
  EXPECT_FALSE(plan.dense_runs);
  EXPECT_EQ(plan.pieces(), 8u);
  EXPECT_EQ(plan.bytes(), 2u * 2 * 64);
  const auto base = kSource.plane_base[1];
  EXPECT_THAT(plan.source.plane_base,
              testing::ElementsAre(base, base + 32, base + 6400, base + 6432));
  EXPECT_EQ(plan.target.plane_base[0], split.plane_base[2]);
  EXPECT_EQ(plan.target.plane_base[1], split.plane_base[3]);
  // Both sides apart: nothing to split, and runs stay dense.
  const Plan apart = make_plan(split_map(0x10000000, 4, 100, 64), split, Ids{1, 2}, Ids{3, 4}, {});
  EXPECT_TRUE(apart.dense_runs);
  EXPECT_EQ(apart.planes, 8u);
  EXPECT_EQ(apart.pieces(), 8u);
}

TEST(PlanErrors, ListsOfDifferentLength) {
  EXPECT_EQ(message_of(kSource, kTarget, {1, 2, 3}, {1, 2}),
            "3 source ids but 2 target ids: the lists must have the same length");
}

TEST(PlanErrors, IdsOutOfRangeNameValueAndPlace) {
  EXPECT_EQ(message_of(kSource, kTarget, {0, 100}, {0, 1}),
            "source id 100 at place 1 is out of range: the pool has 100 blocks");
  EXPECT_EQ(message_of(kSource, kTarget, {0, 1, 2}, {0, 1, 4294967295u}),
            "target id 4294967295 at place 2 is out of range: the pool has 50 blocks");
}

TEST(PlanErrors, TargetIdTwice) {
  EXPECT_EQ(message_of(kSource, kTarget, {1, 2, 3, 4}, {9, 7, 8, 7}),
            "target id 7 at place 3 is already at place 1: a block can be written once");
  EXPECT_THAT(message_of(kSource, kTarget, {1, 2}, {9, 9}), HasSubstr("target id 9 at place 1"));
  // The marks of one call mean nothing to the next.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(message_of(kSource, kTarget, {1, 2, 3}, {9, 7, 8}), "no error");
  }
}

TEST(PlanErrors, TargetIdTwiceInAHugePool) {
  const BlockMap huge = dense_map(1ull << 40, 1, 4294967295u, 64);
  const BlockMap target = dense_map(1ull << 50, 1, 4294967295u, 64);
  EXPECT_EQ(message_of(huge, target, {1, 2, 3}, {4294967294u, 5, 4294967293u}), "no error");
  EXPECT_THAT(message_of(huge, target, {1, 2, 3, 4}, {4294967294u, 5, 4294967294u, 5}),
              HasSubstr("target id 4294967294 at place 2 is already at place 0"));
}

TEST(PlanErrors, EmptyAndReversedLayerRanges) {
  EXPECT_EQ(message_of(kSource, kTarget, {1}, {1}, {2, 2}),
            "the layer range 2:2 is empty; the pool has layers 0:4");
  EXPECT_THAT(message_of(kSource, kTarget, {1}, {1}, {3, 1}), HasSubstr("3:1 is empty"));
  EXPECT_THAT(message_of(kSource, kTarget, {1}, {1}, {4, 9}), HasSubstr("4:9 is empty"));
}

TEST(PlanErrors, MapsThatDoNotFit) {
  EXPECT_THAT(message_of(kSource, dense_map(0x20000000, 5, 50, 64), {1}, {1}),
              HasSubstr("4 and 5 layers"));
  EXPECT_THAT(message_of(kSource, dense_map(0x20000000, 4, 50, 32), {1}, {1}),
              HasSubstr("blocks of 64 and 32 bytes"));
  BlockMap odd = kTarget;
  odd.parts = 3;
  EXPECT_THAT(message_of(kSource, odd, {1}, {1}), HasSubstr("4 planes in 3 parts"));
  BlockMap tight = kTarget;
  tight.block_stride = 63;
  EXPECT_THAT(message_of(kSource, tight, {1}, {1}), HasSubstr("64 bytes every 63 bytes"));
  BlockMap high = kTarget;
  high.plane_base[3] = ~std::uint64_t{0} - 9 * 64;
  EXPECT_EQ(message_of(kSource, high, {0, 1}, {0, 8}), "no error");
  EXPECT_THAT(message_of(kSource, high, {0, 1}, {0, 9}),
              HasSubstr("target block 9 would lie beyond the end of the address space"));
  BlockMap strided = kTarget;
  strided.block_stride = 1ull << 62;
  EXPECT_THAT(message_of(kSource, strided, {0}, {5}), HasSubstr("end of the address space"));
}

TEST(PlanOverlap, SamePool) {
  EXPECT_THAT(message_of(kSource, kSource, {1, 2, 3}, {9, 3, 7}),
              HasSubstr("source block 3 and target block 3 overlap in memory"));
  EXPECT_THAT(message_of(kSource, kSource, {5}, {5}), HasSubstr("overlap"));
  EXPECT_EQ(message_of(kSource, kSource, {1, 2, 3}, {9, 4, 7}), "no error");
}

TEST(PlanOverlap, SamePoolBlockMajor) {
  // All layers of a block together: the planes' ranges interleave, no two rows meet.
  BlockMap map = dense_map(0x10000000, 4, 100, 64);
  map.block_stride = 4 * 64;
  for (std::uint32_t l = 0; l < 4; ++l) map.plane_base[l] = 0x10000000 + l * 64;
  EXPECT_EQ(message_of(map, map, {1, 3, 5}, {0, 2, 4}), "no error");
  EXPECT_THAT(message_of(map, map, {1, 3, 5}, {0, 5, 4}), HasSubstr("source block 5 and target"));
}

TEST(PlanOverlap, ShiftedViewsOfOneMemory) {
  // Target block t is the memory of source block t + 1, but for one byte.
  const BlockMap source = dense_map(0x10000000, 1, 100, 64);
  const BlockMap target = dense_map(0x10000000 + 64 + 1, 1, 50, 64);
  EXPECT_THAT(message_of(source, target, {8}, {7}), HasSubstr("source block 8"));
  EXPECT_THAT(message_of(source, target, {9}, {7}), HasSubstr("source block 9"));
  EXPECT_EQ(message_of(source, target, {7}, {7}), "no error");
  EXPECT_EQ(message_of(source, target, {10}, {7}), "no error");
}

TEST(PlanOverlap, InterleavedPoolsOfOneAllocation) {
  BlockMap source = dense_map(0x10000000, 4, 10, 64), target = source;
  for (std::uint32_t l = 0; l < 4; ++l) {
    source.plane_base[l] = 0x10000000 + l * 1280;
    target.plane_base[l] = 0x10000000 + l * 1280 + 640;
  }
  EXPECT_EQ(message_of(source, target, {0, 9}, {0, 9}), "no error");
  target.plane_base[2] -= 1;  // its block 0 now begins in the source's block 9
  EXPECT_EQ(message_of(source, target, {0, 8}, {0, 9}), "no error");
  EXPECT_THAT(message_of(source, target, {0, 9}, {0, 9}),
              HasSubstr("source block 9 and target block 0"));
}

TEST(PlanOverlap, OtherAddressSpace) {
  BlockMap other = kSource;
  other.address_space = 4711;
  EXPECT_EQ(message_of(other, kSource, {5}, {5}), "no error");
}

}  // namespace
}  // namespace kvferry::plan
