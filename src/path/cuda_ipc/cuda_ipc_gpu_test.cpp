#include "path/cuda_ipc/test_pools.hpp"
#include "path/test_observer.hpp"

namespace kvferry::path {
namespace {

class CudaIpc : public CudaIpcTest {};

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

TEST_F(CudaIpc, PreparedCopiesMoveEachTime) {
  const Pool remote = make_pool(Device::cuda(devices_ - 1)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const Ids ids = scattered(30, kBlocks, 5);
  for (const Method& method : kMethods) {
    JobOptions options;
    options.copy = method.copy;
    options.max_sms = method.max_sms;
    const auto copy = route->prepare(plan_for(*route, ids, Direction::pull), options);
    for (unsigned seed = 1; seed < 4; ++seed) {
      const Bytes theirs = fill(remote, seed), ours = fill(local, seed + 10);
      std::atomic<int> quiet{0};
      const auto job = copy->start(on_quiet([&] { ++quiet; }), std::nullopt);
      ASSERT_TRUE(job->wait_until(Clock::now() + 20s));
      EXPECT_TRUE(job->poll()->moved_all);
      EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
      std::this_thread::sleep_for(2ms);
      EXPECT_EQ(quiet, 1);
    }
  }
}

// Holds a stream until released.
struct Gate {
  std::atomic<bool> open{false};
  static void CUDART_CB wait(void* gate) {
    while (!static_cast<Gate*>(gate)->open) std::this_thread::sleep_for(1ms);
  }
  ~Gate() { open = true; }
};

// A graph that holds one captured pull.
class Captured {
 public:
  Captured(PreparedCopy& copy, cudaStream_t stream) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    copy.capture(CudaStream{stream});
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec_, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
  }
  ~Captured() { cudaGraphExecDestroy(exec_); }
  void launch(cudaStream_t stream) { EXPECT_EQ(cudaGraphLaunch(exec_, stream), cudaSuccess); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

TEST_F(CudaIpc, CapturedCopiesMoveAtEachLaunchUntilRetired) {
  const Pool remote = make_pool(Device::cuda(devices_ - 1)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const Ids ids = scattered(30, kBlocks, 5);
  JobOptions options;
  options.copy = CopyMethod::kernel;
  const auto copy = route->prepare(plan_for(*route, ids, Direction::pull), options);
  EXPECT_EQ(copy->status_word(), nullptr);
  const cuda::DeviceGuard guard(0);
  const auto stream = cuda::Stream::create();
  {
    Captured graph(*copy, stream.get());
    for (unsigned seed = 1; seed < 6; ++seed) {
      const Bytes theirs = fill(remote, seed), ours = fill(local, seed + 10);
      graph.launch(stream.get());
      ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
      EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
    }
    EXPECT_EQ(*copy->status_word(), 0u);
    const Bytes ours = fill(local, 77);
    // Behind a closed gate: retired before it begins, it does nothing.
    Gate gate;
    ASSERT_EQ(cudaLaunchHostFunc(stream.get(), &Gate::wait, &gate), cudaSuccess);
    graph.launch(stream.get());
    copy->retire(ErrorCode::refused);
    gate.open = true;
    ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    graph.launch(stream.get());
    ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    EXPECT_TRUE(read(local) == ours);
    EXPECT_EQ(*copy->status_word(), static_cast<std::uint32_t>(ErrorCode::refused));
  }
  run(*route, ids, Direction::pull, {});  // others go on
}

TEST_F(CudaIpc, RetiringWaitsForARunningCapture) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  fill(remote, 1);
  plan::Plan plan = plan_for(*route, scattered(50, kBlocks, 1), Direction::pull);
  const auto runs = plan.runs;
  for (int i = 0; i < 70; ++i) plan.runs.insert(plan.runs.end(), runs.begin(), runs.end());
  plan.blocks = static_cast<std::uint32_t>(50 * 71);
  JobOptions options;
  options.copy = CopyMethod::kernel;
  options.max_sms = 1;
  const auto copy = route->prepare(std::move(plan), options);
  const cuda::DeviceGuard guard(0);
  const auto stream = cuda::Stream::create();
  Captured graph(*copy, stream.get());
  for (int i = 0; i < 20; ++i) graph.launch(stream.get());
  std::this_thread::sleep_for(1ms);
  copy->retire(ErrorCode::cancelled);
  const Bytes now = fill(local, 9);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_TRUE(read(local) == now) << "bytes landed after it was retired";
}

TEST_F(CudaIpc, CaptureRefusesWhatItCannotStop) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  const cuda::DeviceGuard guard(0);
  const auto stream = cuda::Stream::create();
  const Ids ids = scattered(5, kBlocks, 1);
  JobOptions options;
  options.copy = CopyMethod::kernel;
  const auto kernel = route->prepare(plan_for(*route, ids, Direction::pull), options);
  EXPECT_THROW(kernel->capture(CudaStream{stream.get()}), Error) << "not capturing";
  options.copy = CopyMethod::engine;
  const auto engine = route->prepare(plan_for(*route, ids, Direction::pull), options);
  EXPECT_THROW(engine->capture(CudaStream{stream.get()}), Error);
}

TEST_F(CudaIpc, NothingToMoveIsQuietAtOnce) {
  const Pool remote = make_pool(Device::cuda(0)), local = make_pool(Device::cuda(0));
  const auto route = path_.open(local.state(), end_of(remote, true));
  int quiet = 0;
  const auto job = start_copy(*route, plan_for(*route, {}, Direction::pull), {}, [&] { ++quiet; });
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
    start_copy(*route, plan_for(*route, scattered(50, kBlocks, 1), Direction::pull), options,
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
    const auto job = start_copy(*route, plan_for(*route, ids, Direction::pull, {3, 4}), options);
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
  const auto job = start_copy(*route, plan_for(*route, scattered(50, kBlocks, 1), Direction::pull),
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
    const auto job = start_copy(*route, std::move(plan), options);
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
  const auto job = start_copy(*route, plan_for(*route, scattered(5, kBlocks, 1), Direction::pull));
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
  EXPECT_THROW(start_copy(*route, plan_for(*route, scattered(5, kBlocks, 1), Direction::pull),
                          options, [&] { quiet = true; }),
               Error);
  EXPECT_FALSE(quiet);
  // And a transfer beside a capture leaves the capture whole.
  run(*route, scattered(5, kBlocks, 1), Direction::pull, {});
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.get(), &graph), cudaSuccess);
  if (graph != nullptr) cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace kvferry::path
