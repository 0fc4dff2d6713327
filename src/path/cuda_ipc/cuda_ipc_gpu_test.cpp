#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"
#include "memory/test_child.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"

namespace kvferry::path {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using memory::TestBytes;
using memory::TestChild;
using memory::TestSocket;

// Blocks of 32 KiB in 6 layers.
CacheShape small_shape() {
  CacheShape shape;
  shape.layers = 6;
  shape.block_tokens = 8;
  return shape;
}
constexpr std::uint32_t kBlocks = 100;

RemoteEnd end_of(const Pool& pool, bool same_process) {
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

Pool make_pool(Device device, std::uint32_t blocks = kBlocks,
               const CacheShape& shape = small_shape()) {
  PoolOptions options;
  options.writable = true;
  return Pool::allocate(device, shape, blocks, options);
}

// A pool's bytes, plane after plane.
using Bytes = std::vector<unsigned char>;
std::uint64_t plane_bytes(const Pool& pool) { return pool.blocks() * pool.block_stride(); }

Bytes read(const Pool& pool) {
  Bytes bytes(plane_bytes(pool) * pool.shape().layers * pool.kv_parts());
  auto* at = bytes.data();
  for (std::uint32_t l = 0; l < pool.shape().layers; ++l)
    for (std::uint32_t part = 0; part < pool.kv_parts(); ++part, at += plane_bytes(pool))
      cuda::check(cudaMemcpy(at, pool.layer(l, part), plane_bytes(pool), cudaMemcpyDefault),
                  "read");
  return bytes;
}

Bytes fill(const Pool& pool, unsigned seed) {
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
Ids scattered(std::uint32_t count, std::uint32_t blocks, unsigned seed) {
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

// What the target must hold afterwards.
Bytes moved(const Pool& pool, const Bytes& source, Bytes target,
            const std::vector<std::uint32_t>& from, const std::vector<std::uint32_t>& to) {
  const std::uint64_t stride = pool.block_stride();
  const std::uint64_t row = pool.shape().block_bytes() / pool.kv_parts();
  for (std::uint64_t plane = 0; plane < source.size() / plane_bytes(pool); ++plane)
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(&target[plane * plane_bytes(pool) + to[i] * stride],
                  &source[plane * plane_bytes(pool) + from[i] * stride], row);
  return target;
}

plan::Plan plan_for(const Route& route, const Ids& ids, Direction direction,
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
const Method kMethods[] = {{CopyMethod::automatic, 0},
                           {CopyMethod::automatic, 16},
                           {CopyMethod::kernel, 0},
                           {CopyMethod::kernel, 2},
                           {CopyMethod::engine, 0}};

class CudaIpc : public testing::Test {
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
    const auto job = route.start(plan_for(route, ids, direction), options, [&] { ++quiet; });
    EXPECT_TRUE(job->wait_until(Clock::now() + 20s));
    const auto result = job->poll();
    if (!result) return "still running";
    EXPECT_TRUE(result->moved_all);
    EXPECT_FALSE(result->aborted);
    EXPECT_EQ(result->error, "");
    EXPECT_EQ(*job->status_word(), 0u);
    std::this_thread::sleep_for(2ms);  // CUDA's callback may come now: it must not count again
    EXPECT_EQ(quiet, 1);
    return job->method() + " ";
  }

  int devices_ = 0;
  CudaIpcPath path_;
};

TEST_F(CudaIpc, TwoPoolsOnOneGpu) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0), 120);
  const auto verdict = path_.judge(*local.state(), end_of(remote, true));
  ASSERT_TRUE(verdict.usable) << verdict.reason;
  const auto route = path_.open(local.state(), end_of(remote, true));
  check_both_ways(*route, remote, local, 37);
}

TEST_F(CudaIpc, TwoGpusOfOneProcess) {
  if (devices_ < 2 || !cuda::can_reach(0, 1)) GTEST_SKIP() << "no usable GPU: two are needed";
  const Pool remote = make_pool(Device::cuda(1)), local = make_pool(Device::cuda(0), 120);
  const auto route = path_.open(local.state(), end_of(remote, true));
  check_both_ways(*route, remote, local, 37);
}

TEST_F(CudaIpc, OneRunIsCopiedByTheEngine) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(devices_ - 1));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const Bytes theirs = fill(remote, 5), ours = fill(local, 6);
  Ids ids;
  for (std::uint32_t i = 0; i < 20; ++i) {
    ids.remote.push_back(10 + i);
    ids.local.push_back(70 + i);
  }
  run(*route, ids, Direction::pull, {CopyMethod::engine, 0});
  EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
  // Every block of both pools: one contiguous piece.
  ids = {};
  for (std::uint32_t i = 0; i < kBlocks; ++i) {
    ids.remote.push_back(i);
    ids.local.push_back(i);
  }
  EXPECT_EQ(run(*route, ids, Direction::pull, {CopyMethod::engine, 0}), "copy engine, 1 copy ");
  EXPECT_TRUE(read(local) == theirs);
}

TEST_F(CudaIpc, HostPoolAndGpuPool) {
  const Pool host = make_pool(Device::host()), gpu = make_pool(Device::cuda(0));
  check_both_ways(*path_.open(gpu.state(), end_of(host, true)), host, gpu, 37);
  check_both_ways(*path_.open(host.state(), end_of(gpu, true)), gpu, host, 37);
}

TEST_F(CudaIpc, AttachedTensorsOfTheirOwnEach) {
  // Separate allocations, K and V apart, an odd stride: uneven planes and the generic kernel.
  const CacheShape shape = small_shape();
  const std::uint64_t stride = shape.block_bytes() / 2 + 24;
  std::vector<cuda::DeviceBuffer> buffers;
  AttachOptions options;
  options.shape = shape;
  options.blocks = kBlocks;
  options.block_stride = stride;
  const cuda::DeviceGuard guard(0);
  for (std::uint32_t i = 0; i < shape.layers * 2; ++i) {
    buffers.push_back(cuda::DeviceBuffer::allocate(stride * kBlocks + (2 << 20)));
    options.bases.push_back(buffers.back().data() + 40 * i + 8);
  }
  const Pool local = Pool::attach(options);
  const Pool remote = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  for (const Method& method : kMethods) {
    const Bytes theirs = fill(remote, 3);
    const Bytes ours = fill(local, 4);
    const Ids ids = scattered(30, kBlocks, 9);
    SCOPED_TRACE(run(*route, ids, Direction::pull, method));
    // The remote's block is K then V, 16 KiB each; ours has them in planes of their own.
    Bytes wanted = ours;
    const std::uint64_t half = shape.block_bytes() / 2;
    for (std::uint32_t l = 0; l < shape.layers; ++l)
      for (std::uint32_t part = 0; part < 2; ++part)
        for (std::size_t i = 0; i < ids.remote.size(); ++i)
          std::memcpy(&wanted[(l * 2 + part) * plane_bytes(local) + ids.local[i] * stride],
                      &theirs[l * plane_bytes(remote) + ids.remote[i] * remote.block_stride() +
                              part * half],
                      half);
    EXPECT_TRUE(read(local) == wanted);
  }
}

TEST_F(CudaIpc, MoreIdsThanKernelParametersHold) {
  CacheShape shape = small_shape();
  shape.block_tokens = 1;
  shape.kv_heads = 1;  // 512 bytes
  const Pool remote = make_pool(Device::cuda(0), 9000, shape);
  const Pool local = make_pool(Device::cuda(devices_ - 1), 9000, shape);
  const auto route = path_.open(local.state(), end_of(remote, true));
  check_both_ways(*route, remote, local, 8500);
}

TEST_F(CudaIpc, NothingToMoveIsQuietAtOnce) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  int quiet = 0;
  const auto job = route->start(plan_for(*route, {}, Direction::pull), {}, [&] { ++quiet; });
  ASSERT_TRUE(job->poll().has_value());
  EXPECT_TRUE(job->poll()->moved_all);
  EXPECT_EQ(quiet, 1);
}

TEST_F(CudaIpc, QuietIsCalledWhenNobodyWaits) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  std::atomic<int> quiet{0};
  for (const CopyMethod copy : {CopyMethod::kernel, CopyMethod::engine}) {
    quiet = 0;
    JobOptions options;
    options.copy = copy;
    route->start(plan_for(*route, scattered(50, kBlocks, 1), Direction::pull), options,
                 [&] { ++quiet; });
    for (int i = 0; i < 2000 && quiet == 0; ++i) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(quiet, 1);
  }
}

TEST_F(CudaIpc, ManyAtOnce) {
  const Pool remote = make_pool(Device::cuda(devices_ - 1), 400);
  const Pool local = make_pool(Device::cuda(0), 400);
  const auto route = path_.open(local.state(), end_of(remote, true));
  const Bytes theirs = fill(remote, 1);
  Bytes wanted = fill(local, 2);
  const Ids all = scattered(400, 400, 3);
  constexpr std::size_t kThreads = 8;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t round = 0; round < 10; ++round) {
        Ids ids;
        for (std::size_t i = t * 50 + round * 5; i < t * 50 + round * 5 + 5; ++i) {
          ids.remote.push_back(all.remote[i]);
          ids.local.push_back(all.local[i]);
        }
        run(*route, ids, Direction::pull, kMethods[(t + round) % std::size(kMethods)]);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(read(local) == moved(local, theirs, wanted, all.remote, all.local));
}

// Holds a stream until released.
struct Gate {
  std::atomic<bool> open{false};
  static void CUDART_CB wait(void* gate) {
    while (!static_cast<Gate*>(gate)->open) std::this_thread::sleep_for(1ms);
  }
  ~Gate() { open = true; }
};

TEST_F(CudaIpc, OrderedOnTheCallersStream) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const cuda::DeviceGuard guard(0);
  for (const CopyMethod copy : {CopyMethod::automatic, CopyMethod::kernel, CopyMethod::engine}) {
    fill(remote, 1);
    fill(local, 2);
    const auto stream = cuda::Stream::create();
    const auto seen = cuda::DeviceBuffer::allocate(plane_bytes(local));
    Gate gate;
    ASSERT_EQ(cudaLaunchHostFunc(stream.get(), &Gate::wait, &gate), cudaSuccess);
    // The source is written on the stream, before the transfer; the target read on it, after.
    cudaMemsetAsync(remote.layer(3), 0x77, plane_bytes(remote), stream.get());
    Ids ids;
    for (std::uint32_t i = 0; i < kBlocks; ++i) {
      ids.remote.push_back(i);
      ids.local.push_back(kBlocks - 1 - i);
    }
    JobOptions options;
    options.copy = copy;
    options.stream = CudaStream{stream.get()};
    const auto job = route->start(plan_for(*route, ids, Direction::pull, {3, 4}), options, [] {});
    cudaMemcpyAsync(seen.data(), local.layer(3), plane_bytes(local), cudaMemcpyDefault,
                    stream.get());
    EXPECT_FALSE(job->wait_until(Clock::now() + 20ms));
    gate.open = true;
    EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    Bytes got(plane_bytes(local));
    cudaMemcpy(got.data(), seen.data(), got.size(), cudaMemcpyDefault);
    EXPECT_EQ(std::count(got.begin(), got.end(), 0x77), static_cast<std::ptrdiff_t>(got.size()));
    EXPECT_TRUE(job->wait_until(Clock::now() + 5s));
    EXPECT_TRUE(job->poll()->moved_all);
  }
}

TEST_F(CudaIpc, AbortedBehindABlockedStreamIsQuietAtOnce) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  fill(remote, 1);
  const Bytes ours = fill(local, 2);
  const cuda::DeviceGuard guard(0);
  const auto stream = cuda::Stream::create();
  Gate gate;
  ASSERT_EQ(cudaLaunchHostFunc(stream.get(), &Gate::wait, &gate), cudaSuccess);
  int quiet = 0;
  JobOptions options;
  options.stream = CudaStream{stream.get()};
  const auto job = route->start(plan_for(*route, scattered(50, kBlocks, 1), Direction::pull),
                                options, [&] { ++quiet; });
  EXPECT_FALSE(job->poll().has_value());
  job->abort(ErrorCode::deadline);
  ASSERT_TRUE(job->poll().has_value());
  EXPECT_TRUE(job->poll()->aborted);
  EXPECT_FALSE(job->poll()->moved_all);
  EXPECT_EQ(quiet, 1);
  EXPECT_EQ(*job->status_word(), static_cast<std::uint32_t>(ErrorCode::deadline));
  gate.open = true;
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);  // the stream itself goes on
  EXPECT_TRUE(read(local) == ours);
  EXPECT_EQ(quiet, 1);
}

TEST_F(CudaIpc, AbortMidWayLeavesNothingMoving) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  fill(remote, 1);
  for (const CopyMethod copy : {CopyMethod::kernel, CopyMethod::engine}) {
    // The same few blocks again and again: more work than can be done before the abort.
    plan::Plan plan = plan_for(*route, scattered(50, kBlocks, 1), Direction::pull);
    const auto runs = plan.runs;
    for (int i = 0; i < 2000; ++i) plan.runs.insert(plan.runs.end(), runs.begin(), runs.end());
    plan.blocks = static_cast<std::uint32_t>(50 * 2001);
    JobOptions options;
    options.copy = copy;
    options.max_sms = 1;
    const auto job = route->start(std::move(plan), options, [] {});
    EXPECT_FALSE(job->wait_until(Clock::now() + 2ms));
    job->abort(ErrorCode::cancelled);
    EXPECT_TRUE(job->wait_until(Clock::now() + 2s));
    ASSERT_TRUE(job->poll().has_value());
    EXPECT_TRUE(job->poll()->aborted);
    EXPECT_FALSE(job->poll()->moved_all);
    EXPECT_EQ(*job->status_word(), static_cast<std::uint32_t>(ErrorCode::cancelled));
    const Bytes now = fill(local, 9);
    std::this_thread::sleep_for(20ms);
    EXPECT_TRUE(read(local) == now) << "bytes landed after the end";
  }
}

TEST_F(CudaIpc, AbortAfterTheEndChangesNothing) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const auto job =
      route->start(plan_for(*route, scattered(5, kBlocks, 1), Direction::pull), {}, [] {});
  EXPECT_TRUE(job->wait_until(Clock::now() + 5s));
  job->abort(ErrorCode::cancelled);
  EXPECT_TRUE(job->poll()->moved_all);
  EXPECT_EQ(*job->status_word(), 0u);
}

TEST_F(CudaIpc, ACapturingStreamIsRefused) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const cuda::DeviceGuard guard(0);
  const auto stream = cuda::Stream::create();
  ASSERT_EQ(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  JobOptions options;
  options.stream = CudaStream{stream.get()};
  bool quiet = false;
  EXPECT_THROW(route->start(plan_for(*route, scattered(5, kBlocks, 1), Direction::pull), options,
                            [&] { quiet = true; }),
               Error);
  EXPECT_FALSE(quiet);
  // And a transfer beside a capture leaves the capture whole.
  run(*route, scattered(5, kBlocks, 1), Direction::pull, {});
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.get(), &graph), cudaSuccess);
  if (graph != nullptr) cudaGraphDestroy(graph);
}

// In the child: a pool on the device its environment names, described to the parent.
TEST(CudaIpcChild, DISABLED_Owner) {
  TestSocket parent = TestSocket::inherited();
  const std::string kind = std::getenv("KVFERRY_TEST_POOL");
  const CacheShape shape = small_shape();
  std::vector<cuda::DeviceBuffer> buffers;
  const bool on_gpu = kind != "host" && kind != "host_read_only";
  std::optional<cuda::DeviceGuard> guard;
  if (on_gpu) guard.emplace(0);
  const Pool pool = [&] {
    PoolOptions options;
    options.writable = kind != "host_read_only";
    if (kind != "legacy")
      return Pool::allocate(on_gpu ? Device::cuda(0) : Device::host(), shape, kBlocks, options);
    AttachOptions attach;
    attach.shape = shape;
    attach.blocks = kBlocks;
    attach.options = options;
    for (std::uint32_t l = 0; l < shape.layers; ++l) {
      buffers.push_back(
          cuda::DeviceBuffer::allocate((l + 1) * 4096 + shape.block_bytes() * kBlocks));
      attach.bases.push_back(buffers.back().data() + l * 4096);
    }
    return Pool::attach(attach);
  }();
  const Bytes theirs = fill(pool, 1);
  RemoteEnd end = end_of(pool, false);
  TestBytes bytes;
  bytes.put(end.offer.parts);
  bytes.put(end.offer.block_stride);
  bytes.put_list(end.offer.planes);
  bytes.put<std::uint64_t>(end.offer.regions.size());
  for (const auto& region : end.offer.regions) bytes.put_region(region);
  parent.send(bytes.bytes(), end.fds);
  while (parent.receive_word() != 0) {
    // The parent wants our bytes: as they are now.
    const Bytes now = read(pool);
    std::vector<std::byte> raw(now.size());
    std::memcpy(raw.data(), now.data(), now.size());
    parent.send(raw);
  }
}

class CudaIpcAcross : public CudaIpc {
 protected:
  RemoteEnd receive_end(TestChild& child, bool writable) {
    RemoteEnd end;
    TestBytes bytes(child.socket().receive(&end.fds));
    end.offer.parts = bytes.get<std::uint32_t>();
    end.offer.block_stride = bytes.get<std::uint64_t>();
    end.offer.planes = bytes.get_list<memory::PlaneRef>();
    const auto regions = bytes.get<std::uint64_t>();
    for (std::uint64_t i = 0; i < regions; ++i) end.offer.regions.push_back(bytes.get_region());
    end.shape = small_shape();
    end.blocks = kBlocks;
    end.writable = writable;
    return end;
  }
  static Bytes bytes_of(TestChild& child) {
    child.socket().send_word(1);
    const auto raw = child.socket().receive();
    Bytes bytes(raw.size());
    std::memcpy(bytes.data(), raw.data(), raw.size());
    return bytes;
  }

  // Pulls from, and pushes into, a pool of another process.
  void check_with(const std::string& kind, Device device, std::vector<std::string> environment) {
    SCOPED_TRACE(kind + " " + device.to_string());
    environment.push_back("KVFERRY_TEST_POOL=" + kind);
    TestChild child("CudaIpcChild.DISABLED_Owner", environment);
    const bool writable = kind != "host_read_only";
    RemoteEnd end = receive_end(child, writable);
    const Pool local = make_pool(device);
    const auto verdict = path_.judge(*local.state(), end);
    if (!writable && !verdict.usable) {
      EXPECT_NE(verdict.reason.find("read-only"), std::string::npos) << verdict.reason;
      return;
    }
    ASSERT_TRUE(verdict.usable) << verdict.reason;
    const auto route = path_.open(local.state(), std::move(end));
    for (const Method& method : kMethods) {
      Bytes theirs = bytes_of(child);
      Bytes ours = fill(local, 77);
      const Ids pulled = scattered(41, kBlocks, 5);
      SCOPED_TRACE(run(*route, pulled, Direction::pull, method));
      ours = moved(local, theirs, ours, pulled.remote, pulled.local);
      EXPECT_TRUE(read(local) == ours);
      if (!writable) continue;
      const Ids pushed = scattered(43, kBlocks, 50);
      run(*route, pushed, Direction::push, method);
      theirs = moved(local, ours, theirs, pushed.local, pushed.remote);
      EXPECT_TRUE(bytes_of(child) == theirs);
    }
  }
};

TEST_F(CudaIpcAcross, SameGpu) {
  check_with("vmm", Device::cuda(0), {});
  check_with("legacy", Device::cuda(0), {});
}

TEST_F(CudaIpcAcross, PeerGpu) {
  if (devices_ < 2 || !cuda::can_reach(1, 0)) GTEST_SKIP() << "no usable GPU: two are needed";
  check_with("vmm", Device::cuda(1), {});
  check_with("legacy", Device::cuda(1), {});
}

// CUDA_VISIBLE_DEVICES=0 KVFERRY_TEST_HIDDEN_GPU=1: the owner's GPU is not visible here.
TEST_F(CudaIpcAcross, HiddenGpu) {
  const char* hidden = std::getenv("KVFERRY_TEST_HIDDEN_GPU");
  if (hidden == nullptr) GTEST_SKIP() << "no usable GPU: KVFERRY_TEST_HIDDEN_GPU names none";
  const std::vector<std::string> environment = {"CUDA_VISIBLE_DEVICES=" + std::string(hidden)};
  for (const char* kind : {"vmm", "legacy"})
    for (const Device device : {Device::cuda(0), Device::host()})
      check_with(kind, device, environment);
}

TEST_F(CudaIpcAcross, HostMemoryOfTheOther) {
  check_with("host", Device::cuda(0), {});
  check_with("host_read_only", Device::cuda(0), {});
}

TEST_F(CudaIpcAcross, OurHostMemory) {
  check_with("vmm", Device::host(), {});
  check_with("legacy", Device::host(), {});
}

TEST_F(CudaIpcAcross, AKilledOwnerLeavesItsMemoryReadable) {
  TestChild child("CudaIpcChild.DISABLED_Owner", {"KVFERRY_TEST_POOL=vmm"});
  const Pool local = make_pool(Device::cuda(devices_ - 1));
  const auto route = path_.open(local.state(), receive_end(child, true));
  const Bytes theirs = bytes_of(child);
  const Bytes ours = fill(local, 77);
  child.kill();
  const Ids ids = scattered(41, kBlocks, 5);
  run(*route, ids, Direction::pull, {});
  EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
}

TEST_F(CudaIpcAcross, TwoRoutesIntoOneLegacyAllocation) {
  TestChild child("CudaIpcChild.DISABLED_Owner", {"KVFERRY_TEST_POOL=legacy"});
  RemoteEnd end = receive_end(child, true);
  RemoteEnd again;
  again.offer = end.offer;
  again.shape = end.shape;
  again.blocks = end.blocks;
  again.writable = true;
  const Pool local = make_pool(Device::cuda(0));
  auto first = path_.open(local.state(), std::move(end));
  const auto second = path_.open(local.state(), std::move(again));
  EXPECT_EQ(first->remote().plane_base, second->remote().plane_base);
  first.reset();
  const Bytes theirs = bytes_of(child);
  const Bytes ours = fill(local, 77);
  const Ids ids = scattered(41, kBlocks, 5);
  run(*second, ids, Direction::pull, {});
  EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
}

}  // namespace
}  // namespace kvferry::path
