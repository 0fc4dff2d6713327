#include "pattern/pattern.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kvferry/error.hpp"

// On host pools. The rows themselves are row_pattern_test.cpp's matter.
namespace kvferry::pattern {
namespace {

const CacheShape kShape{5, 2, 2, 24, 4, DType::bf16};
constexpr std::uint32_t kBlocks = 9;

std::vector<BlockSpec> all_blocks(Fill fill, std::uint64_t seed) {
  std::vector<BlockSpec> specs;
  for (std::uint32_t block = 0; block < kBlocks; ++block)
    specs.push_back({block, block, fill, seed});
  return specs;
}

std::byte* block_at(const Pool& pool, std::uint32_t layer, std::uint32_t block,
                    std::uint32_t part = 0) {
  return static_cast<std::byte*>(pool.layer(layer, part)) + block * pool.block_stride();
}

// A pool whose keys and values lie apart, in one buffer with gaps between the rows.
Pool split_pool(std::vector<std::byte>& memory) {
  constexpr std::uint64_t kStride = 500;
  AttachOptions attach;
  attach.shape = kShape;
  attach.blocks = kBlocks;
  attach.block_stride = kStride;
  memory.assign(kShape.layers * 2 * kBlocks * kStride, std::byte{0x11});
  for (std::uint32_t plane = 0; plane < kShape.layers * 2; ++plane) {
    attach.bases.push_back(memory.data() + plane * kBlocks * kStride);
  }
  return Pool::attach(attach);
}

TEST(Pattern, FillsAndChecksAPool) {
  const Pool pool = Pool::allocate(Device::host(), kShape, kBlocks);
  for (const Fill how : {Fill::ones, Fill::indexed}) {
    for (const unsigned threads : {0u, 1u, 2u, 100u}) {
      fill(pool, all_blocks(how, 1), {}, threads);
      EXPECT_EQ(check(pool, all_blocks(how, 1), {}, threads).bytes, 0u);
      const Mismatch other = check(pool, all_blocks(Fill::indexed, 2), {}, threads);
      EXPECT_GT(other.bytes, pool.shape().block_bytes() * kBlocks * kShape.layers / 4);
    }
  }
}

TEST(Pattern, KeepsToTheLayersAndBlocksAsked) {
  const Pool pool = Pool::allocate(Device::host(), kShape, kBlocks);
  fill(pool, all_blocks(Fill::ones, 0), {});
  fill(pool, {{.block = 3, .as_block = 70}, {.block = 7, .as_block = 71}}, {1, 3});
  for (std::uint32_t layer = 0; layer < kShape.layers; ++layer) {
    for (std::uint32_t block = 0; block < kBlocks; ++block) {
      const bool asked = (layer == 1 || layer == 2) && (block == 3 || block == 7);
      const BlockSpec spec{block, block == 3 ? 70u : 71u, asked ? Fill::indexed : Fill::ones, 0};
      EXPECT_EQ(check(pool, {spec}, {layer, layer + 1}).bytes, 0u) << layer << " " << block;
    }
  }
  EXPECT_EQ(check(pool, all_blocks(Fill::indexed, 0), {5, 9}).bytes, 0u);  // no such layers
  EXPECT_EQ(check(pool, {}, {}).bytes, 0u);
}

// Blocks are told apart by what they should hold, not by where they lie.
TEST(Pattern, SwappedBlocksAndLayersAreFound) {
  const Pool pool = Pool::allocate(Device::host(), kShape, kBlocks);
  const auto specs = all_blocks(Fill::indexed, 0);
  fill(pool, specs, {});
  std::vector<std::byte> held(kShape.block_bytes());
  std::memcpy(held.data(), block_at(pool, 2, 4), held.size());
  std::memcpy(block_at(pool, 2, 4), block_at(pool, 3, 4), held.size());
  const Mismatch found = check(pool, specs, {});
  EXPECT_GT(found.bytes, held.size() / 4);
  EXPECT_EQ(found.layer, 2u);
  EXPECT_EQ(found.block, 4u);
  std::memcpy(block_at(pool, 2, 4), held.data(), held.size());
  EXPECT_EQ(check(pool, specs, {}).bytes, 0u);
}

TEST(Pattern, FirstMismatchIsByLayerThenPlace) {
  // Large enough for several threads to have something to find.
  const CacheShape shape{4, 2, 8, 128, 16, DType::bf16};
  const Pool pool = Pool::allocate(Device::host(), shape, 32);
  std::vector<BlockSpec> specs;
  for (std::uint32_t i = 0; i < 32; ++i) specs.push_back({31 - i, i, Fill::indexed, 0});
  fill(pool, specs, {});
  for (const std::uint32_t block : {2u, 30u, 17u}) block_at(pool, 3, block)[100] ^= std::byte{1};
  block_at(pool, 1, 5)[65'535] ^= std::byte{1};
  block_at(pool, 1, 20)[7] ^= std::byte{1};
  block_at(pool, 1, 20)[9] ^= std::byte{1};
  for (const unsigned threads : {1u, 3u, 8u}) {
    const Mismatch found = check(pool, specs, {}, threads);
    EXPECT_EQ(found.bytes, 6u);
    EXPECT_EQ(found.layer, 1u);
    EXPECT_EQ(found.block, 20u);
    EXPECT_EQ(found.offset, 7u);
  }
}

TEST(Pattern, KeysAndValuesApart) {
  std::vector<std::byte> memory;
  const Pool pool = split_pool(memory);
  ASSERT_EQ(pool.kv_parts(), 2u);
  const auto specs = all_blocks(Fill::indexed, 0);
  fill(pool, specs, {});
  EXPECT_EQ(check(pool, specs, {}).bytes, 0u);
  // The same bytes as a joint pool holds, and the gaps untouched.
  const Pool joint = Pool::allocate(Device::host(), kShape, kBlocks);
  fill(joint, specs, {});
  const std::uint64_t half = kShape.block_bytes() / 2;
  for (std::uint32_t layer = 0; layer < kShape.layers; ++layer) {
    for (std::uint32_t block = 0; block < kBlocks; ++block) {
      for (std::uint32_t part = 0; part < 2; ++part) {
        const std::byte* row = block_at(pool, layer, block, part);
        EXPECT_EQ(std::memcmp(row, block_at(joint, layer, block) + part * half, half), 0);
        EXPECT_EQ(row[half], std::byte{0x11});
      }
    }
  }
  // Offsets count from the block's start, keys first.
  block_at(pool, 4, 8, 1)[3] ^= std::byte{0x40};
  const Mismatch found = check(pool, specs, {});
  EXPECT_EQ(found.bytes, 1u);
  EXPECT_EQ(found.layer, 4u);
  EXPECT_EQ(found.block, 8u);
  EXPECT_EQ(found.offset, half + 3);
}

TEST(Pattern, BlocksOutOfRangeAreNamed) {
  const Pool pool = Pool::allocate(Device::host(), kShape, kBlocks);
  try {
    fill(pool, {{.block = 0}, {.block = 9}}, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("block 9 at place 1 is out of range"));
  }
}

}  // namespace
}  // namespace kvferry::pattern
