#include "path/cuda_ipc/engine_copies.hpp"

#include <gtest/gtest.h>

#include <map>

namespace kvferry::path {
namespace {

constexpr std::uint64_t kMaxPitch = 0x7FFFFFFF;

plan::Plan make(std::uint64_t row, std::vector<plan::Run> runs, std::uint32_t planes,
                std::uint64_t source_block, std::uint64_t target_block, std::uint64_t source_plane,
                std::uint64_t target_plane, bool even = true) {
  plan::Plan p;
  p.row_bytes = row;
  p.planes = planes;
  for (const auto& r : runs) p.blocks += r.count;
  p.runs = std::move(runs);
  p.dense_runs = source_block == row && target_block == row;
  p.source = {{}, source_block, even, source_plane};
  p.target = {{}, target_block, even, target_plane};
  for (std::uint32_t i = 0; i < planes; ++i) {
    p.source.plane_base.push_back(1'000'000 + i * source_plane);
    p.target.plane_base.push_back(1'000'000'000 + i * target_plane);
  }
  return p;
}

// Every byte the plan moves: target byte by source byte, naively.
std::map<std::uint64_t, std::uint64_t> bytes_of(const plan::Plan& p) {
  std::map<std::uint64_t, std::uint64_t> bytes;
  for (std::uint32_t plane = 0; plane < p.planes; ++plane)
    for (const auto& r : p.runs)
      for (std::uint32_t b = 0; b < r.count; ++b)
        for (std::uint64_t i = 0; i < p.row_bytes; ++i)
          bytes[p.target.plane_base[plane] + (r.dst + b) * p.target.block_stride + i] =
              p.source.plane_base[plane] + (r.src + b) * p.source.block_stride + i;
  return bytes;
}

void expect_same_bytes(const plan::Plan& p, EngineCut cut, std::uint64_t copies) {
  EXPECT_EQ(engine_copies(p, cut), copies);
  std::map<std::uint64_t, std::uint64_t> bytes;
  EngineCopies list(p, cut);
  EngineCopy c;
  std::uint64_t count = 0;
  while (list.next(c)) {
    ++count;
    if (c.height > 1) {
      EXPECT_GE(c.source_pitch, c.width);
      EXPECT_GE(c.target_pitch, c.width);
    }
    for (std::uint64_t y = 0; y < c.height; ++y)
      for (std::uint64_t x = 0; x < c.width; ++x)
        EXPECT_TRUE(
            bytes.emplace(c.target + y * c.target_pitch + x, c.source + y * c.source_pitch + x)
                .second);
  }
  EXPECT_EQ(count, copies);
  EXPECT_EQ(bytes, bytes_of(p));
}

TEST(EngineCopies, ScatteredDenseBlocksTakeACopyARun) {
  const auto p = make(8, {{0, 9, 1}, {5, 2, 3}, {20, 12, 2}}, 3, 8, 8, 800, 1600);
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::run_planes);
  EXPECT_FALSE(is_flat(p, cut));
  expect_same_bytes(p, cut, 3);
}

TEST(EngineCopies, WholePlanesSideBySideAreOnePiece) {
  const auto p = make(8, {{0, 0, 10}}, 3, 8, 8, 80, 80);
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::whole);
  EXPECT_TRUE(is_flat(p, cut));
  expect_same_bytes(p, cut, 1);
}

// Layer tensors of allocations of their own may be evenly spaced by chance; CUDA refuses a copy
// across two allocations all the same.
TEST(EngineCopies, NoCopySpansTwoAllocations) {
  const auto p = make(8, {{0, 9, 1}, {5, 2, 3}, {20, 12, 2}}, 3, 8, 8, 800, 1600);
  const auto cut = cut_for_engine(p, kMaxPitch, false);
  EXPECT_EQ(cut, EngineCut::run_pieces);
  expect_same_bytes(p, cut, 9);
  const auto side_by_side = make(8, {{0, 0, 10}}, 3, 8, 8, 80, 80);
  EXPECT_NE(cut_for_engine(side_by_side, kMaxPitch, false), EngineCut::whole);
}

TEST(EngineCopies, OnePlaneOneRunIsOnePiece) {
  const auto p = make(8, {{3, 5, 4}}, 1, 8, 8, 0, 0);
  EXPECT_EQ(cut_for_engine(p, kMaxPitch, true), EngineCut::whole);
  expect_same_bytes(p, EngineCut::whole, 1);
}

TEST(EngineCopies, UnevenPlanesTakeAPieceAPlane) {
  auto p = make(8, {{0, 9, 1}, {5, 2, 3}}, 3, 8, 8, 800, 1600, false);
  p.target.plane_base[1] += 7;
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::run_pieces);
  EXPECT_TRUE(is_flat(p, cut));
  expect_same_bytes(p, cut, 6);
}

TEST(EngineCopies, PitchBeyondTheDeviceTakesAPieceAPlane) {
  const auto p = make(8, {{0, 9, 1}, {5, 2, 3}}, 3, 8, 8, 800, 1600);
  EXPECT_EQ(cut_for_engine(p, 1599, true), EngineCut::run_pieces);
  expect_same_bytes(p, EngineCut::run_pieces, 6);
}

TEST(EngineCopies, StridedBlocksTakeACopyABlock) {
  const auto p = make(8, {{0, 9, 1}, {5, 2, 3}}, 5, 16, 24, 800, 1600);
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::block_planes);
  expect_same_bytes(p, cut, 4);
}

TEST(EngineCopies, LongStridedRunsTakeACopyAPlane) {
  const auto p = make(8, {{0, 9, 30}}, 2, 16, 24, 800, 1600);
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::run_rows);
  expect_same_bytes(p, cut, 2);
}

TEST(EngineCopies, PlanesInsideBlocks) {
  // [block][layer]: planes closer together than blocks.
  const auto p = make(8, {{0, 3, 4}, {9, 1, 1}}, 4, 32, 32, 8, 8);
  const auto cut = cut_for_engine(p, kMaxPitch, true);
  EXPECT_EQ(cut, EngineCut::block_planes);
  expect_same_bytes(p, cut, 5);
}

TEST(EngineCopies, NoPitchAtAllLeavesRows) {
  const auto p = make(8, {{0, 9, 3}}, 2, 16, 24, 800, 1600);
  EXPECT_EQ(cut_for_engine(p, 10, true), EngineCut::run_pieces);
  expect_same_bytes(p, EngineCut::run_pieces, 6);
}

TEST(EngineCopies, VeryLargeCopiesArePostedInParts) {
  const std::uint64_t row = 3ull << 30;
  plan::Plan p = make(row, {{0, 1, 1}}, 1, row, row, 0, 0);
  EngineCopies list(p, EngineCut::whole);
  EngineCopy c;
  std::uint64_t total = 0;
  std::uint64_t next = p.source.plane_base[0];
  while (list.next(c)) {
    EXPECT_LE(c.bytes(), kMaxEngineCopyBytes);
    EXPECT_EQ(c.source, next);
    next += c.bytes();
    total += c.bytes();
  }
  EXPECT_EQ(total, row);
}

TEST(EngineCopies, Large2dCopiesArePostedInParts) {
  const std::uint64_t row = 200ull << 20;
  plan::Plan p = make(row, {{0, 1, 1}}, 7, row, row, 4 * row, 8 * row);
  EngineCopies list(p, EngineCut::run_planes);
  EngineCopy c;
  std::uint64_t rows = 0;
  while (list.next(c)) {
    EXPECT_EQ(c.width, row);
    EXPECT_EQ(c.source, p.source.plane_base[0] + rows * p.source.plane_stride);
    EXPECT_EQ(c.target,
              p.target.plane_base[0] + rows * p.target.plane_stride + p.target.block_stride);
    rows += c.height;
  }
  EXPECT_EQ(rows, 7u);
}

}  // namespace
}  // namespace kvferry::path
