#include "wire/validate_offer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "wire/random_message.hpp"
#include "wire/validate.hpp"

namespace kvferry::wire {
namespace {

using memory::ChunkKind;
using testing::HasSubstr;

// Two regions of two chunks; 4 planes of 10 blocks, K and V apart: 2 layers.
PoolGrant good_grant(ChunkKind kind) {
  RandomMessage random(11);
  PoolGrant m;
  m.shape = {2, 2, 1, 64, 16, DType::bf16};  // 4096 bytes a block, 2048 a row
  m.blocks = 10;
  m.offer = {3, 1, 2, 2048, {{0, 0}, {0, 20'480}, {1, 0}, {1, 20'480}}, {}};
  const auto gpu = memory::is_cuda(kind) ? random.id() : memory::GpuUuid{};
  for (int i = 0; i < 2; ++i) {
    memory::Chunk chunk{kind, 20'480, 0, 0, {}};
    if (kind == ChunkKind::host_private) chunk.address = 4096;
    if (kind == ChunkKind::cuda_ipc) chunk.ipc[5] = std::byte{1};
    m.offer.regions.push_back({random.id(), 40'960, gpu, {chunk, chunk}});
  }
  m.fds_total = fds_needed(m.offer);
  return m;
}

void expect_refused(const char* words, const std::function<void(PoolGrant&)>& change,
                    ChunkKind kind = ChunkKind::memfd) {
  PoolGrant m = good_grant(kind);
  ASSERT_NO_THROW(validate(m, ErrorCode::refused));
  change(m);
  try {
    validate(m, ErrorCode::refused);
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    EXPECT_THAT(error.what(), HasSubstr(words));
    EXPECT_THAT(error.what(), HasSubstr("PoolGrant."));
  }
  EXPECT_THROW(encode(m, static_cast<std::uint16_t>(m.fds_total)), Error);
}

TEST(ValidateOffer, GeometryAndCounts) {
  expect_refused("generation", [](auto& m) { m.offer.generation = 0; });
  expect_refused("dtype", [](auto& m) { m.shape.dtype = static_cast<DType>(200); });
  expect_refused("shape", [](auto& m) { m.shape.kv_heads = 0; });
  expect_refused("blocks: 0", [](auto& m) { m.blocks = 0; });
  expect_refused("blocks: 2147483648", [](auto& m) { m.blocks = 1u << 31; });
  expect_refused("parts: 0", [](auto& m) { m.offer.parts = 0; });
  expect_refused("parts: 3", [](auto& m) { m.offer.parts = 3; });
  expect_refused("parts: 2", [](auto& m) { m.shape.kv = 1; });
  expect_refused("fds_total: 3", [](auto& m) { m.fds_total = 3; });
  expect_refused("fds_total: 5", [](auto& m) { m.fds_total = 5; });
}

TEST(ValidateOffer, Planes) {
  expect_refused("block_stride: 2047", [](auto& m) { m.offer.block_stride = 2047; });
  expect_refused("block_stride", [](auto& m) { m.offer.block_stride = (1ull << 47) + 1; });
  expect_refused("block_stride", [](auto& m) { m.offer.block_stride = UINT64_MAX; });
  expect_refused("3 planes", [](auto& m) { m.offer.planes.pop_back(); });
  expect_refused("5 planes", [](auto& m) { m.offer.planes.push_back({0, 0}); });
  expect_refused("0 planes", [](auto& m) { m.offer.planes.clear(); });
  expect_refused("region 2 of 2", [](auto& m) { m.offer.planes[3].region = 2; });
  expect_refused("plane 3 ends beyond", [](auto& m) { m.offer.planes[3].offset += 1; });
  expect_refused("ends beyond", [](auto& m) { m.offer.planes[3].offset = UINT64_MAX; });
  expect_refused("ends beyond", [](auto& m) { m.offer.planes[3].offset = 0 - 20'480ull; });
  expect_refused("ends beyond", [](auto& m) { m.blocks = 11; });
  expect_refused("ends beyond", [](auto& m) { m.offer.block_stride = 2049; });
  expect_refused("ends beyond", [](auto& m) {  // (blocks - 1) * stride is 2^64 + 2^32
    m.shape = {1, 1, 1, 1, 1, DType::int8};
    m.blocks = (1u << 30) + 1;
    m.offer = {3, 1, 1, 1ull << 34, {{0, 0}}, m.offer.regions};
  });
}

TEST(ValidateOffer, Regions) {
  expect_refused("regions: 0", [](auto& m) { m.offer.regions.clear(); });
  expect_refused("regions: 4097",
                 [](auto& m) { m.offer.regions.resize(4097, m.offer.regions[0]); });
  expect_refused("regions[1]: must not be all zero", [](auto& m) { m.offer.regions[1].id = {}; });
  expect_refused("same id", [](auto& m) { m.offer.regions[1].id = m.offer.regions[0].id; });
  expect_refused("0 bytes", [](auto& m) { m.offer.regions[1].bytes = 0; });
  expect_refused("it must be 1 to 2^47",
                 [](auto& m) { m.offer.regions[1].bytes = (1ull << 47) + 1; });
  expect_refused("UUID", [](auto& m) { m.offer.regions[1].gpu[0] = std::byte{1}; });
  expect_refused("UUID", [](auto& m) { m.offer.regions[1].gpu = {}; }, ChunkKind::vmm_fd);
  expect_refused(
      "another device", [](auto& m) { m.offer.regions[1].gpu[0] ^= std::byte{0xFF}; },
      ChunkKind::vmm_fd);
}

TEST(ValidateOffer, Chunks) {
  const auto chunk = [](const char* words, ChunkKind kind, auto change) {
    expect_refused(words, [&](PoolGrant& m) { change(m.offer.regions[1].chunks[1]); }, kind);
  };
  const auto memfd = ChunkKind::memfd;
  expect_refused("no chunks", [](auto& m) { m.offer.regions[1].chunks.clear(); });
  expect_refused("chunks: 65537", [](auto& m) {
    m.offer.regions[1].chunks.resize(65'535, m.offer.regions[1].chunks[0]);
  });
  chunk("different kinds", memfd, [](auto& c) { c.kind = ChunkKind::host_private; });
  expect_refused("no kind of memory", [](auto& m) {
    for (auto& c : m.offer.regions[1].chunks) c.kind = static_cast<ChunkKind>(4);
  });
  chunk("hold 40961 bytes", memfd, [](auto& c) { c.bytes += 1; });
  chunk("hold 40959 bytes", memfd, [](auto& c) { c.bytes -= 1; });
  chunk("a chunk of 0 bytes", memfd, [](auto& c) { c.bytes = 0; });
  chunk("a chunk of", memfd, [](auto& c) { c.bytes = UINT64_MAX; });
  chunk("offset", memfd, [](auto& c) { c.offset = (1ull << 47) + 1; });
  chunk("no process", ChunkKind::host_private, [](auto& c) { c.address = 0; });
  chunk("no process", ChunkKind::host_private, [](auto& c) { c.address = UINT64_MAX; });
  chunk("no process", ChunkKind::host_private, [](auto& c) { c.address = INT64_MAX; });
  chunk("all zero", ChunkKind::cuda_ipc, [](auto& c) { c.ipc = {}; });
}

TEST(ValidateOffer, AcceptsEveryKindToTheLastByte) {
  for (const auto kind :
       {ChunkKind::memfd, ChunkKind::host_private, ChunkKind::vmm_fd, ChunkKind::cuda_ipc})
    EXPECT_NO_THROW(validate(good_grant(kind), ErrorCode::refused));
}

TEST(Fits, IsNotFooledByOverflow) {
  EXPECT_TRUE(fits(0, 1, UINT64_MAX, 10, 10));
  EXPECT_TRUE(fits(5, 3, 10, 1, 26));
  EXPECT_FALSE(fits(5, 3, 10, 1, 25));
  EXPECT_FALSE(fits(UINT64_MAX, 1, 0, 1, UINT64_MAX));
  EXPECT_FALSE(fits(0, 3, 1ull << 63, 1, UINT64_MAX));
  EXPECT_FALSE(fits(UINT64_MAX - 5, 2, 5, 1, UINT64_MAX));
  EXPECT_TRUE(fits(UINT64_MAX - 6, 2, 5, 1, UINT64_MAX));
}

}  // namespace
}  // namespace kvferry::wire
