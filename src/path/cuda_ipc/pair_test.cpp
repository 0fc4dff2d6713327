#include <gtest/gtest.h>

#include "kvferry/pool.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"

namespace kvferry::path {
namespace {

Pool small_host_pool() {
  CacheShape shape;
  shape.layers = 2;
  return Pool::allocate(Device::host(), shape, 4);
}

RemoteEnd remote_with(memory::ChunkKind kind) {
  RemoteEnd end;
  memory::RegionOffer region;
  region.chunks.push_back({.kind = kind, .bytes = 1 << 20});
  end.offer.regions.push_back(region);
  return end;
}

TEST(CudaIpcJudge, TwoHostPoolsAreNotItsBusiness) {
  const auto verdict =
      CudaIpcPath().judge(*small_host_pool().state(), remote_with(memory::ChunkKind::memfd));
  EXPECT_EQ(verdict.path, "cuda_ipc");
  EXPECT_FALSE(verdict.usable);
  EXPECT_FALSE(verdict.reason.empty());
}

TEST(CudaIpcJudge, WithoutAGpuItSaysWhy) {
  std::string why;
  if (cuda_device_count(&why) != 0) GTEST_SKIP() << "there is a GPU here";
  EXPECT_FALSE(why.empty());
  const auto pool = small_host_pool();
  for (const auto kind : {memory::ChunkKind::vmm_fd, memory::ChunkKind::cuda_ipc}) {
    const auto verdict = CudaIpcPath().judge(*pool.state(), remote_with(kind));
    EXPECT_FALSE(verdict.usable);
    EXPECT_FALSE(verdict.reason.empty());
    EXPECT_THROW(CudaIpcPath().open(pool.state(), remote_with(kind)), Error);
  }
  EXPECT_THROW(Pool::allocate(Device::cuda(0), CacheShape{}, 1), Error);
  EXPECT_FALSE(memory::device_of(&why).has_value());
  EXPECT_FALSE(memory::find_device({}).has_value());
}

TEST(CudaIpcJudge, NonsenseOffersAreUnusable) {
  const auto pool = small_host_pool();
  EXPECT_FALSE(CudaIpcPath().judge(*pool.state(), RemoteEnd{}).usable);
  RemoteEnd no_chunk;
  no_chunk.offer.regions.emplace_back();
  EXPECT_FALSE(CudaIpcPath().judge(*pool.state(), no_chunk).usable);
}

}  // namespace
}  // namespace kvferry::path
