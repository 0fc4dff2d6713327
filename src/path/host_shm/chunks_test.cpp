#include "path/host_shm/chunks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace kvferry::path::host {
namespace {

// What moves where, by target: neighbours on both sides joined, so that two ways to cut the same
// copy compare equal.
struct Move {
  std::uint64_t target = 0, source = 0, bytes = 0;
  friend bool operator==(const Move&, const Move&) = default;
};
using Moves = std::vector<Move>;

Moves joined(Moves moves) {
  std::ranges::sort(moves, {}, &Move::target);
  Moves result;
  for (const Move& move : moves) {
    const bool follows = !result.empty() &&
                         result.back().target + result.back().bytes == move.target &&
                         result.back().source + result.back().bytes == move.source;
    EXPECT_TRUE(result.empty() || result.back().target + result.back().bytes <= move.target);
    if (follows) {
      result.back().bytes += move.bytes;
    } else {
      result.push_back(move);
    }
  }
  return result;
}

Moves naive(const plan::Plan& plan) {
  Moves moves;
  for (std::size_t p = 0; p < plan.planes; ++p) {
    for (const plan::Run& run : plan.runs) {
      for (std::uint64_t i = 0; i < run.count; ++i) {
        moves.push_back({plan.target.plane_base[p] + (run.dst + i) * plan.target.block_stride,
                         plan.source.plane_base[p] + (run.src + i) * plan.source.block_stride,
                         plan.row_bytes});
      }
    }
  }
  return joined(std::move(moves));
}

Moves walked(const Chunks& chunks) {
  Moves moves;
  for (std::uint64_t c = 0; c < chunks.count(); ++c) {
    std::uint64_t bytes = 0;
    chunks.walk(c, [&](std::span<const Piece> pieces) {
      EXPECT_GT(pieces.size(), 0u);
      EXPECT_LE(pieces.size(), Chunks::kBatch);
      for (const Piece& piece : pieces) {
        EXPECT_GT(piece.bytes, 0u);
        EXPECT_LE(piece.bytes, 64u << 10);
        moves.push_back({piece.target, piece.source, piece.bytes});
        bytes += piece.bytes;
      }
      return true;
    });
    EXPECT_GT(bytes, 0u);
    EXPECT_LE(bytes, 1u << 20);
  }
  return joined(std::move(moves));
}

plan::Plan random_plan(std::mt19937_64& random, std::uint64_t row_bytes) {
  plan::Plan plan;
  plan.row_bytes = row_bytes;
  plan.planes = static_cast<std::uint32_t>(1 + random() % 4);
  const bool dense = random() % 2 == 0;
  plan.source.block_stride = row_bytes + (dense ? 0 : random() % 50);
  plan.target.block_stride = row_bytes + (dense ? 0 : random() % 50);
  plan.dense_runs = plan.source.block_stride == row_bytes && plan.target.block_stride == row_bytes;
  std::uint32_t src = 0, dst = 0;
  for (std::size_t i = 0, runs = 1 + random() % 20; i < runs; ++i) {
    const auto count = static_cast<std::uint32_t>(1 + random() % (random() % 2 ? 1 : 9));
    src += static_cast<std::uint32_t>(random() % 3);
    dst += static_cast<std::uint32_t>(random() % 3);
    plan.runs.push_back({src, dst, count});
    plan.blocks += count;
    src += count;
    dst += count;
  }
  std::shuffle(plan.runs.begin(), plan.runs.end(), random);
  for (std::uint64_t p = 0; p < plan.planes; ++p) {
    plan.source.plane_base.push_back((1ull << 40) + (p << 36));
    plan.target.plane_base.push_back((1ull << 46) - (p << 36));
  }
  return plan;
}

TEST(Chunks, CoverEveryRowOnce) {
  std::mt19937_64 random(11);
  for (const std::uint64_t row_bytes : {1, 48, 4096, 18432, 65536, 1000000, 1 << 20}) {
    for (int trial = 0; trial < 50; ++trial) {
      const plan::Plan plan = random_plan(random, row_bytes);
      const Chunks chunks(plan, 1 + random() % 8);
      EXPECT_EQ(chunks.bytes(), plan.bytes());
      ASSERT_TRUE(walked(chunks) == naive(plan)) << "rows of " << row_bytes;
    }
  }
}

TEST(Chunks, RowsLongerThanAChunkAreSliced) {
  std::mt19937_64 random(12);
  for (const std::uint64_t row_bytes : {(1 << 20) + 1, 5000000}) {
    const plan::Plan plan = random_plan(random, row_bytes);
    const Chunks chunks(plan, 2);
    EXPECT_GT(chunks.count(), static_cast<std::uint64_t>(plan.blocks) * plan.planes);
    ASSERT_TRUE(walked(chunks) == naive(plan)) << "rows of " << row_bytes;
  }
}

TEST(Chunks, NeighboursMergeWhereBothSidesAreDense) {
  plan::Plan plan;
  plan.source = {.plane_base = {1 << 20}, .block_stride = 512};
  plan.target = {.plane_base = {1 << 24}, .block_stride = 512};
  plan.row_bytes = 512;
  plan.runs = {{0, 10, 8}, {9, 2, 1}};
  plan.blocks = 9;
  plan.planes = 1;
  for (const bool dense : {true, false}) {
    plan.dense_runs = dense;
    std::size_t pieces = 0;
    Chunks(plan, 1).walk(0, [&](std::span<const Piece> batch) {
      pieces += batch.size();
      return true;
    });
    EXPECT_EQ(pieces, dense ? 2u : 9u);
  }
}

TEST(Chunks, AWalkStopsWhenAsked) {
  plan::Plan plan;
  plan.source = {.plane_base = {1 << 20}, .block_stride = 32};
  plan.target = {.plane_base = {1 << 24}, .block_stride = 32};
  plan.row_bytes = 16;
  plan.runs = {{0, 0, 1000}};
  plan.blocks = 1000;
  plan.planes = 1;
  int visits = 0;
  Chunks(plan, 1).walk(0, [&](std::span<const Piece>) { return ++visits < 3; });
  EXPECT_EQ(visits, 3);
}

TEST(Chunks, NothingToMoveHasNone) {
  EXPECT_EQ(Chunks({}, 2).count(), 0u);
  plan::Plan plan;
  plan.planes = 3;
  plan.row_bytes = 64;
  EXPECT_EQ(Chunks(plan, 2).count(), 0u);
}

}  // namespace
}  // namespace kvferry::path::host
