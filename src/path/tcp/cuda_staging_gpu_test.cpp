#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "path/host_shm/test_pools.hpp"
#include "path/tcp/test_links.hpp"

namespace kvferry::path::tcp {
namespace {

using path::test::scattered;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Ids = std::vector<std::uint32_t>;

constexpr std::uint32_t kCount = 96;
CacheShape shape() { return {.layers = 6, .kv = 2, .kv_heads = 8, .head_dim = 128}; }  // 64 KiB

void write(const Pool& pool, unsigned seed) {
  std::vector<unsigned> row(65536 / sizeof(unsigned));
  for (std::uint32_t layer = 0; layer < shape().layers; ++layer)
    for (std::uint32_t id = 0; id < kCount; ++id) {
      for (unsigned i = 0; i < row.size(); ++i)
        row[i] = seed * 7919 + layer * 131071 + id * 8191 + i;
      ASSERT_EQ(cudaMemcpy(static_cast<std::byte*>(pool.layer(layer)) + id * pool.block_stride(),
                           row.data(), 65536, cudaMemcpyDefault),
                cudaSuccess);
    }
}

std::vector<unsigned> read(const Pool& pool, std::uint32_t layer, std::uint32_t id) {
  std::vector<unsigned> row(65536 / sizeof(unsigned));
  EXPECT_EQ(cudaMemcpy(row.data(),
                       static_cast<const std::byte*>(pool.layer(layer)) + id * pool.block_stride(),
                       65536, cudaMemcpyDefault),
            cudaSuccess);
  return row;
}

class Staging : public ::testing::TestWithParam<std::pair<bool, bool>> {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no usable GPU";
  }
  static Pool make(bool cuda) {
    return Pool::allocate(cuda ? Device::cuda(0) : Device::host(), shape(), kCount,
                          {.writable = true});
  }
};

TEST_P(Staging, PullsAndPushesAndNothingElse) {
  const auto [local_cuda, remote_cuda] = GetParam();
  const Pool local = make(local_cuda), remote = make(remote_cuda);
  test::Links links{remote.state()};
  TcpRoute route{local.state(), links.remote()};
  Ids from, to;
  for (std::uint32_t i = 0; i < 60; ++i) {
    from.push_back((i * 37 + 5) % kCount);
    to.push_back((i * 53 + 11) % kCount);
  }
  for (const unsigned streams : {1u, 4u}) {
    write(local, 7);
    write(remote, 1);
    JobOptions options;
    options.streams = streams;
    options.checksum = streams == 4;
    auto plan = plan::make_plan(route.remote(), route.local(), from, to, {});
    auto job = route.start(plan, options, nullptr);
    ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(20)));
    ASSERT_TRUE(job->poll()->moved_all) << job->poll()->error;
    for (std::uint32_t layer = 0; layer < shape().layers; ++layer)
      for (std::size_t i = 0; i < from.size(); ++i)
        ASSERT_EQ(read(local, layer, to[i]), read(remote, layer, from[i])) << layer << " " << i;
    write(local, 9);
    options.direction = Direction::push;
    plan = plan::make_plan(route.local(), route.remote(), to, from, {});
    job = route.start(plan, options, nullptr);
    ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(20)));
    ASSERT_TRUE(job->poll()->moved_all) << job->poll()->error;
    for (std::uint32_t layer = 0; layer < shape().layers; ++layer)
      for (std::size_t i = 0; i < from.size(); ++i)
        ASSERT_EQ(read(local, layer, to[i]), read(remote, layer, from[i])) << layer << " " << i;
  }
}

TEST_P(Staging, ACancelledPullIsQuietSoon) {
  const auto [local_cuda, remote_cuda] = GetParam();
  const Pool local = make(local_cuda), remote = make(remote_cuda);
  test::Links links{remote.state()};
  TcpRoute route{local.state(), links.remote()};
  write(remote, 1);
  Ids ids(kCount);
  std::iota(ids.begin(), ids.end(), 0u);
  for (int i = 0; i < 20; ++i) {
    auto plan = plan::make_plan(route.remote(), route.local(), ids, ids, {});
    const auto job = route.start(plan, {}, nullptr);
    std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
    job->abort(ErrorCode::cancelled);
    ASSERT_TRUE(job->wait_until(steady_clock::now() + std::chrono::milliseconds(50)));
    write(local, 5);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto kept = read(local, 3, 50);
    EXPECT_EQ(kept[0], 5u * 7919 + 3 * 131071 + 50 * 8191) << "bytes landed after the end";
  }
}

// More chunks ahead than there are stages, in both directions.
TEST_P(Staging, ManyAtOnceDoNotKeepTheStagesFromEachOther) {
  const auto [local_cuda, remote_cuda] = GetParam();
  const Pool local = make(local_cuda), remote = make(remote_cuda);
  test::Links links{remote.state()};
  TcpRoute route{local.state(), links.remote()};
  write(local, 7);
  write(remote, 1);
  Ids pulled(kCount / 2), pushed(kCount / 2);
  std::iota(pulled.begin(), pulled.end(), 0u);
  std::iota(pushed.begin(), pushed.end(), kCount / 2);
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 40; ++i) {
    JobOptions options;
    options.streams = 8;
    auto plan = plan::make_plan(route.remote(), route.local(), pulled, pulled, {});
    jobs.push_back(route.start(plan, options, nullptr));
    options.direction = Direction::push;
    plan = plan::make_plan(route.local(), route.remote(), pushed, pushed, {});
    jobs.push_back(route.start(plan, options, nullptr));
  }
  for (const auto& job : jobs) {
    ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(60)));
    ASSERT_TRUE(job->poll()->moved_all) << job->poll()->error;
  }
  for (std::uint32_t layer = 0; layer < shape().layers; ++layer)
    for (std::uint32_t id = 0; id < kCount; ++id)
      ASSERT_EQ(read(local, layer, id), read(remote, layer, id)) << layer << " " << id;
}

INSTANTIATE_TEST_SUITE_P(Pools, Staging,
                         ::testing::Values(std::pair{true, true}, std::pair{true, false},
                                           std::pair{false, true}),
                         [](const auto& p) {
                           return std::string(p.param.first ? "toGpu" : "toHost") +
                                  (p.param.second ? "FromGpu" : "FromHost");
                         });

}  // namespace
}  // namespace kvferry::path::tcp
