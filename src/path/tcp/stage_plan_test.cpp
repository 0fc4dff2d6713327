#include "path/tcp/stage_plan.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace kvferry::path::tcp {
namespace {

// As the kernel does.
void run(const plan::Plan& plan) {
  for (std::uint32_t p = 0; p < plan.planes; ++p)
    for (const auto& run : plan.runs)
      for (std::uint32_t i = 0; i < run.count; ++i) {
        const auto at = [&](const plan::Side& side, std::uint32_t id) {
          const std::uint64_t base =
              side.even ? side.plane_base[0] + p * side.plane_stride : side.plane_base[p];
          return reinterpret_cast<std::byte*>(base + id * side.block_stride);
        };
        std::memcpy(at(plan.target, run.dst + i), at(plan.source, run.src + i), plan.row_bytes);
      }
}

TEST(StagePlan, PacksAndScattersAnyRange) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const std::uint32_t parts = 1 + random() % 2, layers = 1 + random() % 4, blocks = 9;
    const std::uint64_t row = 1 + random() % 40, stride = row + random() % 3, gap = random() % 9;
    std::vector<std::byte> pool((stride * blocks + gap) * layers * parts), back(pool.size());
    for (auto& b : pool) b = static_cast<std::byte>(random());
    RowLayout layout, layout_back;
    for (std::uint32_t p = 0; p < layers * parts; ++p) {
      const std::uint64_t at = p * (stride * blocks + gap);
      layout.plane_base.push_back(reinterpret_cast<std::uint64_t>(pool.data() + at));
      layout_back.plane_base.push_back(reinterpret_cast<std::uint64_t>(back.data() + at));
    }
    layout.parts = layout_back.parts = parts;
    layout.block_stride = layout_back.block_stride = stride;
    layout.row_bytes = layout_back.row_bytes = row;
    const std::vector<IdRun> runs{{3, 2}, {0, 1}, {7, 2}};
    const PackedRows rows(layout, runs), rows_back(layout_back, runs);
    std::vector<std::byte> stream(rows.bytes()), expected;
    RowCursor cursor(rows, 0, rows.bytes());
    for (auto piece = cursor.next(); piece.bytes > 0; piece = cursor.next()) {
      const auto* at = reinterpret_cast<const std::byte*>(piece.address);
      expected.insert(expected.end(), at, at + piece.bytes);
    }
    const std::uint64_t chunk = 1 + random() % (rows.bytes() + 5);
    for (std::uint64_t at = 0; at < rows.bytes(); at += chunk) {
      const std::uint64_t bytes = std::min(chunk, rows.bytes() - at);
      const auto stage = reinterpret_cast<std::uint64_t>(stream.data() + at);
      for (const auto& plan : stage_plans(rows, at, bytes, stage, true)) run(plan);
      for (const auto& plan : stage_plans(rows_back, at, bytes, stage, false)) run(plan);
    }
    ASSERT_EQ(stream, expected);
    const PackedRows again(layout_back, runs);
    RowCursor landed(again, 0, again.bytes());
    std::vector<std::byte> scattered;
    for (auto piece = landed.next(); piece.bytes > 0; piece = landed.next()) {
      const auto* at = reinterpret_cast<const std::byte*>(piece.address);
      scattered.insert(scattered.end(), at, at + piece.bytes);
    }
    ASSERT_EQ(scattered, expected);
  }
}

TEST(StagePlan, OneBlockOfManyLayersIsOneCopy) {
  RowLayout layout;
  for (std::uint64_t layer = 0; layer < 40; ++layer) layout.plane_base.push_back(layer << 20);
  layout.block_stride = layout.row_bytes = 65536;
  const PackedRows rows(layout, {{5, 1}});
  const auto plans = stage_plans(rows, 0, 16 * 65536, 1 << 30, true);
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_EQ(plans[0].planes, 16u);
}

}  // namespace
}  // namespace kvferry::path::tcp
