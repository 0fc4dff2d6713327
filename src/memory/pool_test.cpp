#include "kvferry/pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "kvferry/error.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// 3 layers of 1,024-byte blocks.
CacheShape small_shape() {
  return {.layers = 3, .kv = 2, .kv_heads = 2, .head_dim = 16, .block_tokens = 8};
}
constexpr std::uint64_t kBlockBytes = 1024;

std::string complaint(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
}

AttachOptions attach_options(std::vector<void*> bases, std::uint32_t blocks) {
  AttachOptions options;
  options.shape = small_shape();
  options.blocks = blocks;
  options.bases = std::move(bases);
  return options;
}

TEST(Device, Names) {
  EXPECT_EQ(Device::host().to_string(), "host");
  EXPECT_EQ(Device::cuda(3).to_string(), "cuda:3");
}

TEST(Pool, AllocatesLayersOneAfterAnother) {
  const Pool pool = Pool::allocate(Device::host(), small_shape(), 10,
                                   {.name = "cache", .tag = "tp0", .writable = true});
  EXPECT_EQ(pool.name(), "cache");
  EXPECT_EQ(pool.tag(), "tp0");
  EXPECT_TRUE(pool.writable());
  EXPECT_EQ(pool.shape(), small_shape());
  EXPECT_EQ(pool.blocks(), 10u);
  EXPECT_EQ(pool.generation(), 1u);
  EXPECT_EQ(pool.kv_parts(), 1u);
  EXPECT_EQ(pool.block_stride(), kBlockBytes);
  auto* const first = static_cast<std::byte*>(pool.layer(0));
  EXPECT_EQ(pool.layer(2), first + 2 * 10 * kBlockBytes);
  const auto& impl = *pool.state();
  ASSERT_EQ(impl.regions.size(), 1u);
  EXPECT_EQ(impl.regions[0]->bytes(), 3 * 10 * kBlockBytes);
  EXPECT_EQ(memory::find_local(impl.regions[0]->id()), impl.regions[0]);
  const auto map = impl.block_map();
  EXPECT_EQ(map.plane_base.size(), 3u);
  EXPECT_EQ(map.plane_base[1], reinterpret_cast<std::uintptr_t>(first) + 10 * kBlockBytes);
  EXPECT_EQ(map.row_bytes, kBlockBytes);
  EXPECT_EQ(map.blocks, 10u);
  EXPECT_EQ(map.address_space, 0u);
  EXPECT_THAT(complaint([&] { pool.layer(3); }), HasSubstr("there is no layer 3"));
  EXPECT_THAT(complaint([&] { pool.layer(0, 1); }), HasSubstr("part 1"));
}

TEST(Pool, AllocateNamesWhatIsWrong) {
  const auto with = [](const PoolOptions& options, std::uint32_t blocks = 1) {
    return complaint([&] { Pool::allocate(Device::host(), small_shape(), blocks, options); });
  };
  EXPECT_THAT(with({}, 0), HasSubstr("invalid argument: blocks is 0"));
  EXPECT_THAT(with({.name = ""}), HasSubstr("name: 0 bytes"));
  EXPECT_THAT(with({.name = "a b"}), HasSubstr("[A-Za-z0-9._-]"));
  EXPECT_THAT(with({.name = std::string(65, 'a')}), HasSubstr("name: 65 bytes"));
  EXPECT_EQ(with({.name = std::string(64, 'a')}), "");
  EXPECT_THAT(with({.tag = std::string(257, 'x')}), HasSubstr("tag: 257 bytes"));
  EXPECT_THAT(with({}, 4000000000u), HasSubstr("local resource: cannot allocate 12288000000000"));
  CacheShape odd = small_shape();
  odd.layers = 0;
  EXPECT_THAT(complaint([&] { Pool::allocate(Device::host(), odd, 1); }), HasSubstr("layers"));
  // 2^32 blocks of 1 GiB in 65,536 layers: more than 64 bits can count.
  const CacheShape huge{.layers = 65536,
                        .kv = 1,
                        .kv_heads = 65536,
                        .head_dim = 8192,
                        .block_tokens = 1,
                        .dtype = DType::bf16};
  EXPECT_THAT(complaint([&] { Pool::allocate(Device::host(), huge, 4000000000u); }),
              HasSubstr("exceed any memory"));
}

TEST(Pool, AttachesSeparateTensors) {
  std::vector<std::vector<std::byte>> tensors(3, std::vector<std::byte>(4 * kBlockBytes + 64));
  std::vector<void*> bases;
  for (auto& tensor : tensors) bases.push_back(tensor.data() + 3);
  const Pool pool = Pool::attach(attach_options(bases, 4));
  EXPECT_EQ(pool.kv_parts(), 1u);
  EXPECT_EQ(pool.block_stride(), kBlockBytes);
  const auto& impl = *pool.state();
  EXPECT_EQ(impl.regions.size(), 3u);
  for (std::uint32_t layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(pool.layer(layer), bases[layer]);
    const auto& region = *impl.regions[impl.planes[layer].region];
    EXPECT_EQ(region.base() + impl.planes[layer].offset, bases[layer]);
    EXPECT_EQ(region.bytes(), 4 * kBlockBytes);
    EXPECT_EQ(region.chunks()[0].kind, memory::ChunkKind::host_private);
  }
}

TEST(Pool, AttachesOneTensorOfInterleavedLayers) {
  std::vector<std::byte> tensor(5 * 3 * kBlockBytes);
  AttachOptions options = attach_options({}, 5);
  for (std::size_t layer = 0; layer < 3; ++layer) {
    options.bases.push_back(tensor.data() + layer * kBlockBytes);
  }
  options.block_stride = 3 * kBlockBytes;
  const Pool pool = Pool::attach(options);
  ASSERT_EQ(pool.state()->regions.size(), 1u);
  EXPECT_EQ(pool.state()->regions[0]->base(), tensor.data());
  EXPECT_EQ(pool.state()->regions[0]->bytes(), tensor.size());
  options.bases[2] = tensor.data() + 3 * kBlockBytes - 1;
  EXPECT_THAT(complaint([&] { Pool::attach(options); }), HasSubstr("share bytes"));
}

TEST(Pool, AttachesKeysAndValuesApart) {
  std::vector<std::byte> tensor(6 * 4 * kBlockBytes / 2);
  std::vector<void*> bases;
  for (std::size_t plane = 0; plane < 6; ++plane) {
    bases.push_back(tensor.data() + plane * 4 * kBlockBytes / 2);
  }
  const Pool pool = Pool::attach(attach_options(bases, 4));
  EXPECT_EQ(pool.kv_parts(), 2u);
  EXPECT_EQ(pool.block_stride(), kBlockBytes / 2);
  EXPECT_EQ(pool.layer(1, 1), bases[3]);
  EXPECT_EQ(pool.state()->block_map().row_bytes, kBlockBytes / 2);
  EXPECT_EQ(pool.state()->regions.size(), 1u);
}

TEST(Pool, AttachNamesWhatIsWrong) {
  std::vector<std::byte> memory(1 << 20);
  std::vector<void*> three{memory.data(), memory.data() + 10000, memory.data() + 20000};
  const auto with = [&](auto change) {
    AttachOptions options = attach_options(three, 4);
    change(options);
    return complaint([&] { Pool::attach(options); });
  };
  EXPECT_EQ(with([](AttachOptions&) {}), "");
  EXPECT_THAT(with([](AttachOptions& o) { o.bases.pop_back(); }),
              HasSubstr("bases: 2 addresses given for 3 layers; expected 3 (one a layer), or 6"));
  EXPECT_THAT(with([](AttachOptions& o) { o.bases.clear(); }), HasSubstr("bases: 0 addresses"));
  EXPECT_THAT(with([](AttachOptions& o) { o.bases[1] = nullptr; }), HasSubstr("bases[1]"));
  EXPECT_THAT(with([](AttachOptions& o) { o.bases[1] = o.bases[0]; }), HasSubstr("share bytes"));
  EXPECT_THAT(with([](AttachOptions& o) { o.block_stride = 1023; }), HasSubstr("block_stride"));
  EXPECT_THAT(with([](AttachOptions& o) { o.blocks = 0; }), HasSubstr("blocks is 0"));
  EXPECT_THAT(with([](AttachOptions& o) { o.options.name = "/"; }), HasSubstr("name"));
  EXPECT_THAT(with([](AttachOptions& o) { o.shape.kv = 3; }), HasSubstr("kv"));
  // An MLA latent has one part.
  EXPECT_THAT(with([](AttachOptions& o) {
                o.shape.kv = 1;
                o.bases.resize(6, o.bases[0]);
              }),
              HasSubstr("expected 3 (one a layer)"));
}

TEST(Pool, KeepsTheCallersMemoryUntilTheLastHandleIsGone) {
  auto memory = std::make_shared<std::vector<std::byte>>(3 * kBlockBytes);
  const std::weak_ptr<void> watch = memory;
  AttachOptions options = attach_options(
      {memory->data(), memory->data() + kBlockBytes, memory->data() + 2 * kBlockBytes}, 1);
  options.keep_alive = std::move(memory);
  auto pool = std::make_unique<Pool>(Pool::attach(options));
  options.keep_alive.reset();
  auto copy = std::make_unique<Pool>(*pool);
  pool.reset();
  EXPECT_FALSE(watch.expired());
  copy.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(Pool, RevokeCallsEveryRevokerOnceWithTheTimeLeft) {
  Pool pool = Pool::allocate(Device::host(), small_shape(), 1);
  auto& impl = *pool.state();
  std::vector<milliseconds> given;
  impl.add_revoker([&](milliseconds left) {
    EXPECT_EQ(pool.generation(), 2u);  // refused before drained
    given.push_back(left);
    std::this_thread::sleep_for(milliseconds(30));
  });
  impl.add_revoker([&](milliseconds left) { given.push_back(left); });
  const auto gone = impl.add_revoker([&](milliseconds) { FAIL() << "was removed"; });
  impl.remove_revoker(gone);
  pool.revoke(milliseconds(1000));
  ASSERT_EQ(given.size(), 2u);
  EXPECT_LE(given[0], milliseconds(1000));
  EXPECT_GT(given[0], milliseconds(500));
  EXPECT_LE(given[1], given[0] - milliseconds(29));
  pool.revoke(milliseconds(10));
  EXPECT_EQ(given.size(), 2u);
  EXPECT_EQ(pool.generation(), 3u);
}

TEST(Pool, RevokeNamesAllWhoStillHoldItAndAsksThemAgain) {
  Pool pool = Pool::allocate(Device::host(), small_shape(), 1);
  bool held = true;
  int calls = 0;
  const auto holder = [&](const char* name) {
    return [&, name](milliseconds) {
      ++calls;
      if (held) throw Error(ErrorCode::deadline, std::string(name) + " reads on");
    };
  };
  pool.state()->add_revoker(holder("decode-0"));
  pool.state()->add_revoker([](milliseconds) {});
  const auto second = pool.state()->add_revoker(holder("decode-1"));
  const std::string message = complaint([&] { pool.revoke(milliseconds(5)); });
  EXPECT_THAT(message, HasSubstr("deadline passed: pool 'kv' is still held 5 ms after"));
  EXPECT_THAT(message, HasSubstr("decode-0 reads on; decode-1 reads on"));
  EXPECT_EQ(calls, 2);
  pool.state()->remove_revoker(second);
  held = false;
  pool.revoke(milliseconds(5));
  EXPECT_EQ(calls, 3);
}

TEST(CudaDeviceCount, SaysWhyThereIsNone) {
  std::string why;
  if (cuda_device_count(&why) == 0) {
    EXPECT_FALSE(why.empty());
    EXPECT_THAT(complaint([] { Pool::allocate(Device::cuda(0), small_shape(), 1); }),
                HasSubstr("local resource"));
  }
  EXPECT_EQ(cuda_device_count(), cuda_device_count(&why));
}

}  // namespace
}  // namespace kvferry
