#pragma once

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"
#include "path/test_observer.hpp"

// What the tests of the route on real GPUs share: small pools, a naive copy to compare with.
namespace kvferry::path {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Blocks of 32 KiB in 6 layers.
inline CacheShape small_shape() {
  CacheShape shape;
  shape.layers = 6;
  shape.block_tokens = 8;
  return shape;
}
inline constexpr std::uint32_t kBlocks = 100;

inline RemoteEnd end_of(const Pool& pool, bool same_process) {
  const auto& state = *pool.state();
  RemoteEnd end;
  end.offer.parts = state.parts;
  end.offer.block_stride = state.block_stride;
  end.offer.planes = state.planes;
  for (const auto& region : state.regions) {
    end.offer.regions.push_back(memory::offer(*region));
    for (const auto& fd : region->fds()) end.fds.emplace_back(::dup(fd.get()));
  }
  end.shape = state.shape;
  end.blocks = state.blocks;
  end.writable = state.options.writable;
  end.same_process = same_process;
  end.pid = ::getpid();
  return end;
}

inline Pool make_pool(Device device, std::uint32_t blocks = kBlocks,
                      const CacheShape& shape = small_shape()) {
  PoolOptions options;
  options.writable = true;
  return Pool::allocate(device, shape, blocks, options);
}

// Makes a pool's GPU the current one: only it may touch memory that kvferry allocated there.
inline cuda::DeviceGuard guard_of(const Pool& pool) {
  return cuda::DeviceGuard(pool.device().is_cuda() ? pool.device().ordinal : 0);
}

// A pool's bytes, plane after plane.
using Bytes = std::vector<unsigned char>;
inline std::uint64_t plane_bytes(const Pool& pool) { return pool.blocks() * pool.block_stride(); }

inline Bytes read(const Pool& pool) {
  const cuda::DeviceGuard guard = guard_of(pool);
  Bytes bytes(plane_bytes(pool) * pool.shape().layers * pool.kv_parts());
  auto* at = bytes.data();
  for (std::uint32_t l = 0; l < pool.shape().layers; ++l)
    for (std::uint32_t part = 0; part < pool.kv_parts(); ++part, at += plane_bytes(pool))
      cuda::check(cudaMemcpy(at, pool.layer(l, part), plane_bytes(pool), cudaMemcpyDefault),
                  "read");
  return bytes;
}

inline Bytes fill(const Pool& pool, unsigned seed) {
  const cuda::DeviceGuard guard = guard_of(pool);
  Bytes bytes(plane_bytes(pool) * pool.shape().layers * pool.kv_parts());
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const std::uint64_t r = random();
    std::memcpy(&bytes[i], &r, 8);
  }
  const auto* at = bytes.data();
  for (std::uint32_t l = 0; l < pool.shape().layers; ++l)
    for (std::uint32_t part = 0; part < pool.kv_parts(); ++part, at += plane_bytes(pool))
      cuda::check(cudaMemcpy(pool.layer(l, part), at, plane_bytes(pool), cudaMemcpyDefault),
                  "fill");
  cuda::check(cudaDeviceSynchronize(), "fill");
  return bytes;
}

struct Ids {
  std::vector<std::uint32_t> remote, local;
};
inline Ids scattered(std::uint32_t count, std::uint32_t blocks, unsigned seed) {
  Ids ids;
  ids.remote.resize(blocks);
  std::iota(ids.remote.begin(), ids.remote.end(), 0u);
  ids.local = ids.remote;
  std::shuffle(ids.remote.begin(), ids.remote.end(), std::mt19937(seed));
  std::shuffle(ids.local.begin(), ids.local.end(), std::mt19937(seed + 1));
  ids.remote.resize(count);
  ids.local.resize(count);
  return ids;
}

// What the target must hold afterwards. The two pools have the strides and parts of `pool`, but may
// have different numbers of blocks.
inline Bytes moved(const Pool& pool, const Bytes& source, Bytes target,
                   const std::vector<std::uint32_t>& from, const std::vector<std::uint32_t>& to) {
  const std::uint64_t stride = pool.block_stride();
  const std::uint64_t row = pool.shape().block_bytes() / pool.kv_parts();
  const std::uint64_t planes = pool.shape().layers * pool.kv_parts();
  for (std::uint64_t plane = 0; plane < planes; ++plane)
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(&target[plane * (target.size() / planes) + to[i] * stride],
                  &source[plane * (source.size() / planes) + from[i] * stride], row);
  return target;
}

inline plan::Plan plan_for(const Route& route, const Ids& ids, Direction direction,
                           LayerRange layers = {}) {
  const bool pull = direction == Direction::pull;
  return plan::make_plan(pull ? route.remote() : route.local(),
                         pull ? route.local() : route.remote(), pull ? ids.remote : ids.local,
                         pull ? ids.local : ids.remote, layers);
}

struct Method {
  CopyMethod copy = CopyMethod::automatic;
  std::uint32_t max_sms = 0;
};
inline const Method kMethods[] = {{CopyMethod::automatic, 0},
                                  {CopyMethod::automatic, 16},
                                  {CopyMethod::kernel, 0},
                                  {CopyMethod::kernel, 2},
                                  {CopyMethod::engine, 0}};

class CudaIpcTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    devices_ = cuda_device_count(&why);
    if (devices_ == 0) GTEST_SKIP() << "no usable GPU: " << why;
  }

  // A pull and a push of scattered blocks by every method, checked to the byte on both sides.
  void check_both_ways(Route& route, const Pool& remote, const Pool& local, std::uint32_t count) {
    unsigned seed = 1;
    for (const Method& method : kMethods)
      for (const Direction direction : {Direction::pull, Direction::push}) {
        const Bytes theirs = fill(remote, seed++);
        const Bytes ours = fill(local, seed++);
        const Ids ids = scattered(count, std::min(remote.blocks(), local.blocks()), seed);
        const std::string text = run(route, ids, direction, method);
        const bool pull = direction == Direction::pull;
        SCOPED_TRACE(text + (pull ? "pull" : "push"));
        EXPECT_TRUE(read(local) ==
                    (pull ? moved(local, theirs, ours, ids.remote, ids.local) : ours));
        EXPECT_TRUE(read(remote) ==
                    (pull ? theirs : moved(remote, ours, theirs, ids.local, ids.remote)));
      }
  }

  static std::string run(Route& route, const Ids& ids, Direction direction, const Method& method) {
    std::atomic<int> quiet{0};
    JobOptions options;
    options.direction = direction;
    options.copy = method.copy;
    options.max_sms = method.max_sms;
    const auto job = start_copy(route, plan_for(route, ids, direction), options, [&] { ++quiet; });
    EXPECT_TRUE(job->wait_until(Clock::now() + 20s));
    const auto result = job->poll();
    if (!result) return "still running";
    EXPECT_TRUE(result->moved_all);
    EXPECT_FALSE(result->aborted);
    EXPECT_EQ(result->error, "");
    EXPECT_EQ(*job->status_word(), 0u);
    std::this_thread::sleep_for(2ms);  // the watcher may look now: it must not count again
    EXPECT_EQ(quiet, 1);
    return job->method() + " ";
  }

  int devices_ = 0;
  CudaIpcPath path_;
};

}  // namespace kvferry::path
