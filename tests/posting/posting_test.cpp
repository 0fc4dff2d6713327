// The call that posts a transfer allocates nothing once a few have gone before: counted at
// operator new.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <numeric>
#include <random>

#include "kvferry/kvferry.hpp"

namespace {
thread_local long allocations = 0;
}

// Apart, or the compiler sees malloc meet delete.

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  ++allocations;
  const auto a = static_cast<std::size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (bytes + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace kvferry {
namespace {

std::vector<std::uint32_t> shuffled(std::uint32_t count, std::uint32_t blocks, unsigned seed) {
  std::vector<std::uint32_t> ids(blocks);
  std::iota(ids.begin(), ids.end(), 0u);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(seed));
  ids.resize(count);
  return ids;
}

class Posting : public testing::TestWithParam<CopyMethod> {
 protected:
  void SetUp() override {
    std::string why;
    if (cuda_device_count(&why) == 0) GTEST_SKIP() << "no usable GPU: " << why;
    CacheShape shape;
    shape.layers = 4;
    shape.block_tokens = 2;
    PoolOptions options;
    options.writable = true;
    theirs_.emplace(Pool::allocate(Device::cuda(0), shape, kBlocks, options));
    ours_.emplace(Pool::allocate(Device::cuda(cuda_device_count() - 1), shape, kBlocks, options));
    server_.add(*theirs_);
    client_.add(*ours_);
    ListenOptions listen;
    listen.tcp = false;
    listen.socket_path = testing::TempDir() + "kvferry-posting-" + std::to_string(getpid());
    server_.listen(listen);
    peer_.emplace(client_.connect("unix:" + listen.socket_path));
  }

  // Of one post, after others: a job's memory comes back with the watcher's next tick, a
  // millisecond later, so that there must have been more before than fit into that. The fewest of
  // several, since another thread may be late once.
  template <typename Post>
  static long allocations_of(Post post) {
    for (int i = 0; i < 1000; ++i) post().wait();
    long fewest = 1'000'000;
    for (int i = 0; i < 20; ++i) {
      const long before = allocations;
      const Transfer transfer = post();
      fewest = std::min(fewest, allocations - before);
      transfer.wait();
    }
    return fewest;
  }

  static constexpr std::uint32_t kBlocks = 2000;
  std::optional<Pool> theirs_, ours_;
  Node server_, client_;
  std::optional<Peer> peer_;
};

TEST_P(Posting, AllocatesNothing) {
  TransferOptions options;
  options.copy = GetParam();
  for (const std::uint32_t count : {1u, 64u, 1638u}) {
    const auto from = shuffled(count, kBlocks, 1), to = shuffled(count, kBlocks, 2);
    EXPECT_EQ(allocations_of([&] { return peer_->pull(*ours_, from, to, options); }), 0) << count;
    EXPECT_EQ(allocations_of([&] { return peer_->push(*ours_, from, to, options); }), 0) << count;
    const auto prepared = peer_->prepare_pull(*ours_, from, to, options);
    EXPECT_EQ(allocations_of([&] { return prepared.post(); }), 0) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(, Posting, testing::Values(CopyMethod::kernel, CopyMethod::automatic),
                         [](const auto& given) {
                           return given.param == CopyMethod::kernel ? "kernel" : "automatic";
                         });

}  // namespace
}  // namespace kvferry
