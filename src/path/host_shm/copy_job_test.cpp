#include "path/host_shm/copy_job.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

#include "path/test_observer.hpp"

namespace kvferry::path::host {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

// Source and target memory of one plan, and what the target should be in the end.
struct Bench {
  plan::Plan plan;
  std::vector<unsigned char> source, target, expected;

  Bench(std::uint64_t row_bytes, std::uint64_t gap, std::uint32_t planes, std::uint32_t blocks,
        unsigned seed) {
    std::mt19937_64 random(seed);
    const std::uint64_t stride = row_bytes + gap, plane_bytes = 2 * blocks * stride;
    source.resize(planes * plane_bytes + 1);
    for (auto& byte : source) byte = static_cast<unsigned char>(random());
    target.assign(source.size(), 0xA5);
    expected = target;
    std::vector<std::uint32_t> from(2 * blocks), to(2 * blocks);
    for (std::uint32_t i = 0; i < 2 * blocks; ++i) from[i] = to[i] = i;
    std::shuffle(from.begin(), from.end(), random);
    std::shuffle(to.begin(), to.end(), random);
    plan.row_bytes = row_bytes;
    plan.planes = planes;
    plan.blocks = blocks;
    plan.dense_runs = gap == 0;
    plan.source.block_stride = plan.target.block_stride = stride;
    for (std::uint32_t i = 0; i < blocks; ++i) plan.runs.push_back({from[i], to[i], 1});
    for (std::uint32_t p = 0; p < planes; ++p) {
      plan.source.plane_base.push_back(address_of(&source[1 + p * plane_bytes]));
      plan.target.plane_base.push_back(address_of(&target[p * plane_bytes]));
      for (std::uint32_t i = 0; i < blocks; ++i) {
        std::memcpy(&expected[p * plane_bytes + to[i] * stride],
                    &source[1 + p * plane_bytes + from[i] * stride], row_bytes);
      }
    }
  }
};

// Stops every move until opened; can be told to fail.
class GatedMover : public PieceMover {
 public:
  std::optional<std::string> move(std::span<const Piece> pieces, Direction d) noexcept override {
    ++entered;
    while (!open) std::this_thread::sleep_for(milliseconds(1));
    if (fails) return "the peer process has ended";
    return mapped_.move(pieces, d);
  }
  std::string name(Direction) const override { return "gated"; }
  std::atomic<int> entered{0};
  std::atomic<bool> open{false}, fails{false};

 private:
  MappedMover mapped_;
};

class CopyJobs : public testing::Test {
 protected:
  CopyJobs() { threads_->start(); }

  std::shared_ptr<CopyJob> start(const plan::Plan& plan, std::shared_ptr<PieceMover> mover = {}) {
    if (!mover) mover = std::make_shared<MappedMover>();
    return CopyJob::start(plan, {.mover = std::move(mover),
                                 .threads = threads_,
                                 .observer = on_quiet([count = quiet_] { ++*count; })});
  }

  static JobResult finish(CopyJob& job) {
    EXPECT_TRUE(job.wait_until(Clock::now() + seconds(60)));
    return job.poll().value();
  }
  // The callback comes after the result.
  void await_quiet(int count) {
    for (int i = 0; i < 10000 && *quiet_ < count; ++i) std::this_thread::sleep_for(milliseconds(1));
    std::this_thread::sleep_for(milliseconds(2));
    EXPECT_EQ(*quiet_, count);
  }

  std::shared_ptr<std::atomic<int>> quiet_ = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<CopyThreads> threads_ = std::make_shared<CopyThreads>(2);
};

TEST_F(CopyJobs, MoveScatteredRowsOfAnySize) {
  int jobs = 0;
  for (const std::uint64_t row_bytes : {1, 63, 512, 1000, 4096, 65536, 1200000}) {
    for (const std::uint64_t gap : {0, 7}) {
      Bench bench(row_bytes, gap, 3, row_bytes > 100000 ? 5 : 40, 1);
      const auto job = start(bench.plan);
      const JobResult result = finish(*job);
      EXPECT_TRUE(result.moved_all);
      EXPECT_FALSE(result.aborted);
      EXPECT_EQ(result.error, "");
      EXPECT_GT(result.move_s, 0);
      ASSERT_TRUE(bench.target == bench.expected) << "rows of " << row_bytes << ", gap " << gap;
      ++jobs;
    }
  }
  await_quiet(jobs);
}

TEST_F(CopyJobs, AnEmptyPlanIsDoneAtOnce) {
  const auto job = start({});
  EXPECT_TRUE(job->poll().value().moved_all);
  EXPECT_TRUE(job->wait_until(Clock::now()));
  job->abort(ErrorCode::cancelled);
  EXPECT_FALSE(job->poll().value().aborted);
  await_quiet(1);
}

TEST_F(CopyJobs, AnAbortStopsWhatHasNotStarted) {
  Bench bench(65536, 0, 4, 64, 2);
  const auto gated = std::make_shared<GatedMover>();
  const auto job = start(bench.plan, gated);
  while (gated->entered < 2) std::this_thread::sleep_for(milliseconds(1));
  job->abort(ErrorCode::cancelled);
  job->abort(ErrorCode::deadline);
  // Two chunks still move: not quiet.
  EXPECT_FALSE(job->poll().has_value());
  EXPECT_FALSE(job->wait_until(Clock::now() + milliseconds(20)));
  EXPECT_EQ(*quiet_, 0);
  gated->open = true;
  const JobResult result = finish(*job);
  EXPECT_TRUE(result.aborted);
  EXPECT_FALSE(result.moved_all);
  EXPECT_EQ(result.error, "");
  await_quiet(1);
  // What landed is whole rows of the right bytes; most of the rest is as it was.
  std::uint64_t landed = 0;
  for (std::size_t at = 0; at < bench.target.size() - 1; at += 65536) {
    const bool done = std::memcmp(&bench.target[at], &bench.expected[at], 65536) == 0;
    const bool untouched = bench.target[at] == 0xA5 &&
                           std::memcmp(&bench.target[at], &bench.target[at] + 1, 65535) == 0;
    EXPECT_TRUE(done || untouched) << at;
    landed += done && !untouched;
  }
  EXPECT_GT(landed, 0u);
  EXPECT_LE(landed, 2u * (1 << 20) / 65536);
}

TEST_F(CopyJobs, AnAbortTooLateChangesNothing) {
  Bench bench(4096, 0, 1, 4, 3);
  const auto job = start(bench.plan);
  finish(*job);
  job->abort(ErrorCode::cancelled);
  EXPECT_TRUE(job->poll()->moved_all);
  EXPECT_FALSE(job->poll()->aborted);
  await_quiet(1);
}

TEST_F(CopyJobs, AFailedMoveEndsTheJobWithItsReason) {
  Bench bench(65536, 0, 4, 64, 4);
  const auto gated = std::make_shared<GatedMover>();
  gated->fails = true;
  gated->open = true;
  const auto job = start(bench.plan, gated);
  const JobResult result = finish(*job);
  EXPECT_EQ(result.error, "the peer process has ended");
  EXPECT_FALSE(result.moved_all);
  EXPECT_FALSE(result.aborted);
  await_quiet(1);
}

TEST_F(CopyJobs, ManyFromManyThreads) {
  std::vector<std::jthread> callers;
  for (unsigned caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this, caller] {
      for (unsigned i = 0; i < 5; ++i) {
        Bench bench(10000 + caller, caller, 5, 50, caller * 100 + i);
        const auto job = start(bench.plan);
        EXPECT_TRUE(finish(*job).moved_all);
        EXPECT_TRUE(bench.target == bench.expected);
      }
    });
  }
  callers.clear();
  await_quiet(20);
}

TEST_F(CopyJobs, AbortsRaceWithTheEnd) {
  for (unsigned i = 0; i < 100; ++i) {
    Bench bench(20000, 0, 2, 30, i);
    const auto job = start(bench.plan);
    std::jthread aborter([&] { job->abort(ErrorCode::cancelled); });
    job->abort(ErrorCode::deadline);
    const JobResult result = finish(*job);
    EXPECT_NE(result.moved_all, result.aborted);
    EXPECT_TRUE(result.aborted || bench.target == bench.expected);
  }
  await_quiet(100);
}

TEST_F(CopyJobs, ASmallPlanIsCopiedByWhoPostsIt) {
  Bench busy(65536, 0, 4, 64, 6), small(4096, 0, 4, 8, 7);
  const auto gated = std::make_shared<GatedMover>();
  const auto first = start(busy.plan, gated);
  while (gated->entered < 2) std::this_thread::sleep_for(milliseconds(1));  // no thread is free
  const auto job = start(small.plan);
  EXPECT_TRUE(job->poll().value().moved_all);
  EXPECT_EQ(*quiet_, 1);
  EXPECT_TRUE(small.target == small.expected);
  gated->open = true;
  EXPECT_TRUE(finish(*first).moved_all);
}

TEST_F(CopyJobs, MethodNamesTheCopyAndTheThreads) {
  const std::string copy(streaming_copies().front().name);
  Bench tiny(64, 0, 1, 1, 5);
  const auto small = start(tiny.plan);
  EXPECT_EQ(small->method(), copy + ", 1 thread");
  Bench bench(65536, 0, 4, 64, 5);
  const auto job = start(bench.plan);
  finish(*job);
  EXPECT_EQ(job->method(), copy + ", 2 threads");
}

}  // namespace
}  // namespace kvferry::path::host
