#include "path/ucx/pieces.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace kvferry::path::ucx {
namespace {

plan::BlockMap map_at(std::uint64_t base, std::uint32_t planes, std::uint64_t row,
                      std::uint64_t stride, std::uint32_t blocks) {
  plan::BlockMap map;
  map.row_bytes = row;
  map.block_stride = stride;
  map.blocks = blocks;
  for (std::uint32_t p = 0; p < planes; ++p) map.plane_base.push_back(base + p * blocks * stride);
  return map;
}

std::vector<Piece> all(Pieces pieces) {
  std::vector<Piece> out;
  while (const auto piece = pieces.next()) out.push_back(*piece);
  return out;
}

TEST(Pieces, MergesNeighboursOfDenseRunsOnly) {
  const auto dense = map_at(1 << 20, 2, 100, 100, 10);
  const auto sparse = map_at(9 << 20, 2, 100, 128, 10);
  const std::uint32_t from[] = {4, 5, 6, 1}, to[] = {0, 1, 2, 9};
  EXPECT_EQ(all(Pieces(plan::make_plan(dense, map_at(5 << 20, 2, 100, 100, 10), from, to, {}))),
            (std::vector<Piece>{{(1 << 20) + 400, 5 << 20, 300},
                                {(1 << 20) + 100, (5 << 20) + 900, 100},
                                {(1 << 20) + 1400, (5 << 20) + 1000, 300},
                                {(1 << 20) + 1100, (5 << 20) + 1900, 100}}));
  EXPECT_EQ(all(Pieces(plan::make_plan(dense, sparse, from, to, {}))).size(), 8u);
}

TEST(Pieces, LongOnesAreCut) {
  const auto source =
      map_at(0x10000000, 1, Pieces::kMaxBytes * 2 + 5, Pieces::kMaxBytes * 2 + 5, 3);
  const auto target =
      map_at(0x90000000, 1, Pieces::kMaxBytes * 2 + 5, Pieces::kMaxBytes * 2 + 5, 3);
  const std::uint32_t ids[] = {1, 2};
  const auto pieces = all(Pieces(plan::make_plan(source, target, ids, ids, {})));
  ASSERT_EQ(pieces.size(), 5u);
  EXPECT_EQ(pieces.back().bytes, 10u);
  EXPECT_EQ(pieces[4].source, pieces[0].source + 4 * Pieces::kMaxBytes);
}

TEST(Pieces, OfNothingThereAreNone) {
  EXPECT_TRUE(all(Pieces(plan::Plan{})).empty());
  const auto map = map_at(1 << 20, 3, 64, 64, 4);
  EXPECT_TRUE(all(Pieces(plan::make_plan(map, map_at(1 << 24, 3, 64, 64, 4), {}, {}, {}))).empty());
}

// Whatever the plan, copying its pieces does what the plan says.
TEST(Pieces, MoveWhatThePlanSays) {
  std::mt19937 random(5);
  const auto below = [&](std::uint32_t bound) {
    return static_cast<std::uint32_t>(random() % bound);
  };
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t planes = 1 + below(3), blocks = 1 + below(20), row = 1 + below(50);
    const std::uint64_t here = row + (below(2) ? below(9) : 0),
                        there = row + (below(2) ? below(9) : 0);
    std::vector<std::uint8_t> source(planes * blocks * here), target(planes * blocks * there);
    for (auto& byte : source) byte = static_cast<std::uint8_t>(random());
    const auto expected_from = [&](std::uint32_t p, std::uint32_t b) {
      return source.data() + (p * blocks + b) * here;
    };
    auto expected = target;
    std::vector<std::uint32_t> from, to;
    for (std::uint32_t b = 0; b < blocks; ++b) {
      if (below(3) == 0) continue;
      to.push_back(b);
      from.push_back(below(2) ? b : below(blocks));
      for (std::uint32_t p = 0; p < planes; ++p)
        std::memcpy(expected.data() + (p * blocks + b) * there, expected_from(p, from.back()), row);
    }
    const auto plan = plan::make_plan(
        map_at(reinterpret_cast<std::uintptr_t>(source.data()), planes, row, here, blocks),
        map_at(reinterpret_cast<std::uintptr_t>(target.data()), planes, row, there, blocks), from,
        to, {});
    for (const Piece& piece : all(Pieces(plan)))
      std::memcpy(reinterpret_cast<void*>(piece.target), reinterpret_cast<void*>(piece.source),
                  piece.bytes);
    ASSERT_EQ(target, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace kvferry::path::ucx
