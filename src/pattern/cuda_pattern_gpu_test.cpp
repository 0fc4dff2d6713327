#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>

#include "memory/cuda_check.hpp"
#include "memory/cuda_handles.hpp"
#include "pattern/pattern.hpp"

// The device's patterns against the host's, byte by byte.
namespace kvferry::pattern {
namespace {

class CudaPattern : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    if (cuda_device_count(&why) == 0) GTEST_SKIP() << "no usable GPU: " << why;
  }
};

constexpr std::uint32_t kBlocks = 9;

CacheShape shape_of(DType dtype, std::uint32_t head_dim) {
  CacheShape shape;
  shape.layers = 3;
  shape.kv_heads = 3;
  shape.block_tokens = 5;
  shape.head_dim = head_dim;
  shape.dtype = dtype;
  return shape;
}

std::vector<BlockSpec> specs() {
  return {{3, 100, Fill::indexed, 1}, {0, 3, Fill::indexed, 77}, {8, 8, Fill::ones, 0}};
}

std::vector<unsigned char> layer_bytes(const Pool& pool, std::uint32_t layer, std::uint32_t part) {
  std::vector<unsigned char> bytes(pool.blocks() * pool.block_stride());
  cuda::check(cudaMemcpy(bytes.data(), pool.layer(layer, part), bytes.size(), cudaMemcpyDefault),
              "read");
  return bytes;
}

TEST_F(CudaPattern, FillsWhatTheHostFills) {
  for (const DType dtype :
       {DType::bf16, DType::fp16, DType::fp32, DType::fp8_e4m3, DType::fp8_e5m2, DType::int8})
    for (const std::uint32_t head_dim : {64u, 128u, 13u}) {  // 13: a byte at a time
      SCOPED_TRACE(std::string(to_string(dtype)) + " " + std::to_string(head_dim));
      const CacheShape shape = shape_of(dtype, head_dim);
      const Pool gpu = Pool::allocate(Device::cuda(0), shape, kBlocks);
      const Pool host = Pool::allocate(Device::host(), shape, kBlocks);
      for (std::uint32_t l = 0; l < shape.layers; ++l) {
        cuda::check(cudaMemset(gpu.layer(l), 0, kBlocks * shape.block_bytes()), "memset");
        std::memset(host.layer(l), 0, kBlocks * shape.block_bytes());
      }
      cuda::check(cudaDeviceSynchronize(), "memset");
      fill(gpu, specs(), {1, 3});
      fill(host, specs(), {1, 3}, 1);
      for (std::uint32_t l = 0; l < shape.layers; ++l)
        EXPECT_TRUE(layer_bytes(gpu, l, 0) == layer_bytes(host, l, 0)) << "layer " << l;
      EXPECT_EQ(check(gpu, specs(), {1, 3}).bytes, 0u);
      EXPECT_NE(check(gpu, specs(), {0, 3}).bytes, 0u);
    }
}

TEST_F(CudaPattern, FindsTheFirstWrongByte) {
  const CacheShape shape = shape_of(DType::bf16, 64);
  const Pool pool = Pool::allocate(Device::cuda(0), shape, kBlocks);
  fill(pool, specs(), {});
  auto* block = static_cast<unsigned char*>(pool.layer(2)) + 8 * pool.block_stride();
  cuda::check(cudaMemset(block + 1001, 0xEE, 3), "memset");
  block = static_cast<unsigned char*>(pool.layer(1)) + 0 * pool.block_stride();
  cuda::check(cudaMemset(block + 777, 0x11, 1), "memset");
  cuda::check(cudaDeviceSynchronize(), "memset");
  const Mismatch wrong = check(pool, specs(), {});
  EXPECT_EQ(wrong.bytes, 4u);
  EXPECT_EQ(wrong.layer, 1u);
  EXPECT_EQ(wrong.block, 0u);
  EXPECT_EQ(wrong.offset, 777u);
}

TEST_F(CudaPattern, KeysAndValuesApart) {
  const CacheShape shape = shape_of(DType::fp16, 64);
  const std::uint64_t half = shape.block_bytes() / 2;
  std::vector<cuda::DeviceBuffer> buffers;
  AttachOptions options;
  options.shape = shape;
  options.blocks = kBlocks;
  for (std::uint32_t i = 0; i < 2 * shape.layers; ++i) {
    buffers.push_back(cuda::DeviceBuffer::allocate(kBlocks * half));
    options.bases.push_back(buffers.back().data());
  }
  const Pool apart = Pool::attach(options);
  const Pool joint = Pool::allocate(Device::cuda(0), shape, kBlocks);
  fill(apart, specs(), {});
  fill(joint, specs(), {});
  EXPECT_EQ(check(apart, specs(), {}).bytes, 0u);
  for (std::uint32_t l = 0; l < shape.layers; ++l) {
    const auto k = layer_bytes(apart, l, 0), v = layer_bytes(apart, l, 1),
               both = layer_bytes(joint, l, 0);
    for (const BlockSpec& s : specs()) {
      EXPECT_EQ(std::memcmp(&k[s.block * half], &both[s.block * 2 * half], half), 0);
      EXPECT_EQ(std::memcmp(&v[s.block * half], &both[s.block * 2 * half + half], half), 0);
    }
  }
}

}  // namespace
}  // namespace kvferry::pattern
