#include "path/tcp/tcp_job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/sanitized.hpp"
#include "path/tcp/rate_limit.hpp"
#include "path/tcp/test_links.hpp"

// What a job owes its owner, and the user, when it does not go well.
namespace kvferry::path::tcp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::uint32_t kBlocks = 128, kLayers = 8;

class TcpJobs : public ::testing::Test {
 protected:
  static Pool big() {
    return Pool::allocate(Device::host(),
                          {.layers = kLayers, .kv = 2, .kv_heads = 8, .head_dim = 128}, kBlocks,
                          {.writable = true});
  }
  // All 64 MiB.
  std::shared_ptr<Job> start(Direction direction) {
    options.direction = direction;
    std::vector<std::uint32_t> ids(kBlocks);
    std::iota(ids.rbegin(), ids.rend(), 0u);
    const bool pull = direction == Direction::pull;
    auto plan = plan::make_plan(pull ? route.remote() : route.local(),
                                pull ? route.local() : route.remote(), ids, ids, {});
    return route.start(plan, options, nullptr);
  }
  static bool within(seconds time, const std::function<bool()>& condition) {
    const auto until = steady_clock::now() + time;
    while (!condition() && steady_clock::now() < until)
      std::this_thread::sleep_for(milliseconds(1));
    return condition();
  }

  Pool local = big(), remote = big();
  test::Links links{remote.state()};
  TcpRoute route{local.state(), links.remote()};
  JobOptions options;
};

// A process that was stopped as a whole finds its socket buffers full when it goes on.
TEST_F(TcpJobs, APullLooksAtItsDeadlineItself) {
  options.bytes_per_s = 100'000'000;  // 0.67 s
  options.deadline = steady_clock::now() + milliseconds(100);
  const auto job = start(Direction::pull);
  ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(5)));
  EXPECT_EQ(job->poll()->code, ErrorCode::deadline);
  EXPECT_FALSE(job->poll()->moved_all);
}

TEST_F(TcpJobs, APullThatFailsHereIsCalledOffThere) {
  if (kSanitized) GTEST_SKIP() << "it races on purpose";
  options.checksum = true;
  options.bytes_per_s = 20'000'000;  // 3.4 s
  // A pool that is written while it is being sent fails the check, rightly.
  std::jthread writer([&](const std::stop_token& stop) {
    for (unsigned char value = 0; !stop.stop_requested(); ++value)
      for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
        auto* const at = static_cast<volatile unsigned char*>(remote.layer(layer));
        for (std::size_t i = 0; i < std::size_t{kBlocks} * 65536; i += 4096) at[i] = value;
      }
  });
  const auto job = start(Direction::pull);
  ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(3)));
  EXPECT_THAT(job->poll()->error, testing::HasSubstr("CRC-32C"));
  writer.request_stop();
  EXPECT_TRUE(within(seconds(1), [&] { return links.cancels == 1 && links.holds == 0; }));
}

TEST_F(TcpJobs, ARequestThatIsOverBeforeItIsHeardIsNotServed) {
  for (const Direction direction : {Direction::push, Direction::pull}) {
    bool broken = false;
    links.before_request = [&] {
      if (std::exchange(broken, true)) return;
      links.break_streams();
      // Until it is known here, and the owner has been told of a request it has not heard of.
      EXPECT_TRUE(within(seconds(5), [&] { return links.cancels > 0; }));
    };
    links.cancels = 0;
    const auto job = start(direction);
    EXPECT_TRUE(job->wait_until(steady_clock::now() + seconds(5)));
    EXPECT_FALSE(job->poll()->moved_all);
    EXPECT_TRUE(within(seconds(2), [&] { return links.holds == 0; }))
        << "the owner still serves it";
    const auto next = start(direction);
    EXPECT_TRUE(next->wait_until(steady_clock::now() + seconds(10)));
    EXPECT_TRUE(next->poll()->moved_all) << next->poll()->error;
  }
}

class Plain final : public Outgoing {
 public:
  using Outgoing::Outgoing;

 private:
  std::optional<PieceBatch> pieces_of(std::uint64_t, std::uint32_t bytes,
                                      std::unique_ptr<Staged>&) override {
    return PieceBatch(bytes_.data(), bytes);
  }
  std::vector<std::byte> bytes_ = std::vector<std::byte>(1 << 20);
};

TEST(Outgoing, WhatItsOwnLimitHoldsBackTakesNothingFromOthers) {
  const auto shared = std::make_shared<RateLimit>(100'000'000);
  Outgoing::Setup setup;
  setup.bytes = 1u << 30;
  setup.chunk_bytes = 1u << 20;
  setup.limits = {shared, std::make_shared<RateLimit>(1'000'000)};  // a chunk a second
  const auto slow = std::make_shared<Plain>(setup);
  OutChunk chunk;
  auto when = Outgoing::Clock::time_point();
  ASSERT_EQ(slow->next(chunk, when), Outgoing::Next::chunk);
  chunk.of->finished(chunk, true);
  const auto before = shared->when();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(slow->next(chunk, when), Outgoing::Next::later);
  EXPECT_EQ(shared->when(), before);
  EXPECT_GT(when, before);
  slow->stop();
}

}  // namespace
}  // namespace kvferry::path::tcp
