#include "path/tcp/tcp_route.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/sanitized.hpp"
#include "path/host_shm/test_pools.hpp"
#include "path/tcp/test_links.hpp"

namespace kvferry::path::tcp {
namespace {

using path::test::allocated;
using path::test::attached;
using path::test::block;
using path::test::complaint;
using path::test::fill;
using path::test::kBlocks;
using path::test::pattern;
using path::test::scattered;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Ids = std::vector<std::uint32_t>;

struct Pair {
  std::string name;
  std::uint32_t local_parts, remote_parts;  // 0: allocated
  unsigned streams;
  bool checksum;
};
void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.name; }

Pool make(std::uint32_t parts) { return parts == 0 ? allocated(true) : attached(parts, true); }

void expect_moved(const Pool& into, unsigned mine, unsigned theirs, const Ids& from,
                  const Ids& to) {
  for (std::uint32_t layer = 0; layer < path::test::test_shape().layers; ++layer)
    for (std::uint32_t id = 0; id < kBlocks; ++id) {
      const auto at = std::find(to.begin(), to.end(), id);
      const auto expected =
          at == to.end() ? pattern(mine, layer, id)
                         : pattern(theirs, layer, from[static_cast<std::size_t>(at - to.begin())]);
      ASSERT_EQ(block(into, layer, id), expected) << "layer " << layer << " block " << id;
    }
}

class TcpRouteOf : public ::testing::TestWithParam<Pair> {
 protected:
  TcpRouteOf() : local(make(GetParam().local_parts)), remote(make(GetParam().remote_parts)) {
    fill(local, 7);
    fill(remote, 1);
    options.streams = GetParam().streams;
    options.checksum = GetParam().checksum;
  }
  plan::Plan plan_of(const Ids& from, const Ids& to) {
    const bool pull = options.direction == Direction::pull;
    return plan::make_plan(pull ? route().remote() : route().local(),
                           pull ? route().local() : route().remote(), from, to, options.layers);
  }
  TcpRoute& route() {
    if (!route_) route_.emplace(local.state(), links.remote());
    return *route_;
  }
  JobResult move(const Ids& from, const Ids& to) {
    auto plan = plan_of(from, to);
    const auto job = route().start(plan, options, nullptr);
    EXPECT_TRUE(job->wait_until(steady_clock::now() + seconds(20)));
    return job->poll().value();
  }

  Pool local, remote;
  test::Links links{remote.state()};
  std::optional<TcpRoute> route_;
  JobOptions options;
};

TEST_P(TcpRouteOf, PullsAndPushes) {
  const Ids from = scattered(1), to = scattered(2);
  auto result = move(from, to);
  EXPECT_TRUE(result.moved_all) << result.error;
  expect_moved(local, 7, 1, from, to);
  fill(local, 9);
  options.direction = Direction::push;
  result = move(to, from);
  EXPECT_TRUE(result.moved_all) << result.error;
  expect_moved(remote, 1, 9, to, from);
  expect_moved(local, 9, 9, {}, {});
  for (int i = 0; i < 1000 && links.holds > 0; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(links.holds, 0);
}

TEST_P(TcpRouteOf, ManyAtOnce) {
  const Ids from = scattered(3, kBlocks), to = scattered(4, kBlocks);
  std::vector<std::shared_ptr<Job>> jobs;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    auto plan = plan_of({from[i]}, {to[i]});
    jobs.push_back(route().start(plan, options, nullptr));
  }
  for (const auto& job : jobs) {
    ASSERT_TRUE(job->wait_until(steady_clock::now() + seconds(20)));
    EXPECT_TRUE(job->poll()->moved_all);
  }
  expect_moved(local, 7, 1, from, to);
}

INSTANTIATE_TEST_SUITE_P(
    Pools, TcpRouteOf,
    ::testing::Values(Pair{"allocated", 0, 0, 1, false}, Pair{"streams", 0, 0, 4, false},
                      Pair{"checked", 0, 1, 2, true}, Pair{"splitHere", 2, 0, 2, false},
                      Pair{"splitThere", 1, 2, 3, true}, Pair{"splitBoth", 2, 2, 1, false}),
    [](const auto& pair) { return pair.param.name; });

// One test fixture for what goes wrong.
class TcpEnds : public ::testing::Test {
 protected:
  TcpEnds() : local(big()), remote(big()) {}
  static Pool big() {
    return Pool::allocate(Device::host(), {.layers = 8, .kv = 2, .kv_heads = 8, .head_dim = 128},
                          128, {.writable = true});  // 64 KiB blocks, 64 MiB
  }
  std::shared_ptr<Job> start(Direction direction, std::uint64_t bytes_per_s = 0,
                             std::optional<milliseconds> deadline = {}) {
    options.direction = direction;
    options.bytes_per_s = bytes_per_s;
    if (deadline) options.deadline = steady_clock::now() + *deadline;
    const Ids ids = [] {
      Ids all(128);
      std::iota(all.rbegin(), all.rend(), 0u);
      return all;
    }();
    auto plan = plan::make_plan(direction == Direction::pull ? route.remote() : route.local(),
                                direction == Direction::pull ? route.local() : route.remote(), ids,
                                ids, {});
    return route.start(plan, options, nullptr);
  }
  static void dirty(const Pool& pool, int value) {
    for (std::uint32_t layer = 0; layer < 8; ++layer)
      std::memset(pool.layer(layer), value, 128 * 65536);
  }
  static bool is_all(const Pool& pool, int value) {
    for (std::uint32_t layer = 0; layer < 8; ++layer) {
      const auto* at = static_cast<const unsigned char*>(pool.layer(layer));
      // Each byte like its neighbour: one call, which a sanitizer checks as a whole.
      if (at[0] != value || std::memcmp(at, at + 1, 128 * 65536 - 1) != 0) return false;
    }
    return true;
  }
  static JobResult ended(Job& job, milliseconds within = seconds(5)) {
    EXPECT_TRUE(job.wait_until(steady_clock::now() + within));
    return job.poll().value_or(JobResult{});
  }

  Pool local, remote;
  test::Links links{remote.state()};
  TcpRoute route{local.state(), links.remote()};
  JobOptions options;
};

TEST_F(TcpEnds, ACancelledPullIsQuietAtOnce) {
  dirty(remote, 1);
  for (int i = 0; i < 20; ++i) {
    dirty(local, 0);
    const auto job = start(Direction::pull);
    std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
    job->abort(ErrorCode::cancelled);
    const auto result = ended(*job, milliseconds(50));
    EXPECT_TRUE(result.moved_all || result.aborted);
    dirty(local, 5);
    std::this_thread::sleep_for(milliseconds(10));
    ASSERT_TRUE(is_all(local, 5)) << "bytes landed after the end";
  }
  // The streams are still good.
  EXPECT_TRUE(ended(*start(Direction::pull)).moved_all);
  EXPECT_TRUE(is_all(local, 1));
}

TEST_F(TcpEnds, ACancelledPushIsQuietWhenTheOwnerSaysSo) {
  for (int i = 0; i < 20; ++i) {
    dirty(local, 1);
    dirty(remote, 0);
    const auto job = start(Direction::push);
    std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
    job->abort(ErrorCode::cancelled);
    const auto result = ended(*job, milliseconds(500));
    EXPECT_TRUE(result.moved_all || result.aborted) << result.error;
    dirty(remote, 5);
    std::this_thread::sleep_for(milliseconds(10));
    ASSERT_TRUE(is_all(remote, 5)) << "bytes landed after the end";
  }
  EXPECT_TRUE(ended(*start(Direction::push)).moved_all);
  EXPECT_TRUE(is_all(remote, 1));
}

// Found by the leak sanitizer: the timer that waits for the owner's word held the job, and with it
// the threads it runs on.
TEST_F(TcpEnds, ACancelledPushIsNotHeldOnceItIsOver) {
  std::weak_ptr<Job> over;
  {
    const auto job = start(Direction::push, 50'000'000);
    std::this_thread::sleep_for(milliseconds(50));
    job->abort(ErrorCode::cancelled);
    EXPECT_TRUE(ended(*job).aborted);
    over = job;
  }
  // The timer is TcpJob::kConfirmTime long.
  for (int i = 0; i < 500 && !over.expired(); ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(over.expired());
}

// Found by the leak sanitizer: a job kept its observer, which holds the job.
TEST_F(TcpEnds, AJobLetsGoOfItsObserver) {
  struct Holder final : JobObserver {
    void job_is_quiet() noexcept override {}
    std::shared_ptr<Job> job;
  };
  std::weak_ptr<Holder> holder;
  {
    const auto strong = std::make_shared<Holder>();
    holder = strong;
    auto plan = plan::make_plan(route.remote(), route.local(), Ids{1}, Ids{2}, {});
    strong->job = route.start(plan, options, strong);
    EXPECT_TRUE(ended(*strong->job).moved_all);
  }
  for (int i = 0; i < 500 && !holder.expired(); ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(holder.expired());
}

// Whoever hears nothing more of the requester keeps its deadline by himself.
TEST_F(TcpEnds, TheOwnerOfAPushKeepsTheDeadline) {
  dirty(remote, 0);
  const auto job = start(Direction::push, 20'000'000, milliseconds(300));
  std::this_thread::sleep_for(milliseconds(100));
  links.mute();
  // Its hold on the pool is what says that it is through.
  for (int i = 0; i < 1000 && links.holds > 0; ++i) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_EQ(links.holds, 0);
  dirty(remote, 5);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(is_all(remote, 5));
  job->abort(ErrorCode::deadline);
  EXPECT_TRUE(ended(*job).aborted);
}

TEST_F(TcpEnds, ARateIsKept) {
  const auto begin = steady_clock::now();
  EXPECT_TRUE(ended(*start(Direction::pull, 200'000'000)).moved_all);
  const double s = std::chrono::duration<double>(steady_clock::now() - begin).count();
  EXPECT_GT(s, 0.30);  // 67 MB at 200 MB/s: 0.336 s
  if (!kSanitized) {
    EXPECT_LT(s, 0.60);
  }
}

TEST_F(TcpEnds, BrokenStreamsEndTransfersAndAreOpenedAnew) {
  std::uint32_t epoch = 1;
  for (const auto direction : {Direction::pull, Direction::push}) {
    const auto job = start(direction, 50'000'000);
    std::this_thread::sleep_for(milliseconds(100));
    // Another set of streams: all before it ends.
    links.adopt(plain_wire(test::loopback_pair().first), {false, ++epoch, ""});
    const auto result = ended(*job);
    EXPECT_FALSE(result.moved_all);
    EXPECT_EQ(result.code, ErrorCode::unreachable);
    EXPECT_THAT(result.error, ::testing::HasSubstr("bytes had landed"));
    std::this_thread::sleep_for(milliseconds(50));
    dirty(local, direction == Direction::pull ? 0 : 3);
    dirty(remote, direction == Direction::pull ? 3 : 0);
    EXPECT_TRUE(ended(*start(direction)).moved_all);
    EXPECT_TRUE(is_all(local, 3) && is_all(remote, 3));
  }
}

TEST_F(TcpEnds, ClosingEndsWhatRuns) {
  const auto pull = start(Direction::pull, 10'000'000), push = start(Direction::push, 10'000'000);
  std::this_thread::sleep_for(milliseconds(50));
  links.requester().close("the node is going");
  EXPECT_THAT(ended(*pull).error, ::testing::HasSubstr("the node is going"));
  EXPECT_THAT(ended(*push).error, ::testing::HasSubstr("the node is going"));
  EXPECT_THAT(complaint([&] { start(Direction::pull); }),
              ::testing::HasSubstr("the node is going"));
}

TEST_F(TcpEnds, OptionsThatTcpCannotHonour) {
  options.stream = CudaStream{};
  EXPECT_THAT(complaint([&] { start(Direction::pull); }), ::testing::HasSubstr("stream:"));
  options = {};
  options.copy = CopyMethod::engine;
  EXPECT_THAT(complaint([&] { start(Direction::pull); }), ::testing::HasSubstr("--copy engine"));
  options = {};
  options.streams = 1000;
  EXPECT_THAT(complaint([&] { start(Direction::pull); }), ::testing::HasSubstr("--streams"));
}

TEST_F(TcpEnds, ServesOnlyWhatThePoolHas) {
  const auto answer = [&](wire::MoveRequest request) {
    struct Waits final : Requester {
      std::promise<std::string> said;
      void ended(const wire::MoveEnd& end) noexcept override { said.set_value(end.message); }
      void lost(const std::string& why, bool) noexcept override { said.set_value("lost: " + why); }
    };
    const auto waits = std::make_shared<Waits>();
    request.request = links.requester().draw_request();
    request.pool = 1;
    request.chunk_bytes = 65536;
    request.runs_total = static_cast<std::uint32_t>(request.runs.size());
    links.requester().begin_request(request.request, waits);
    links.requester().say(request);
    auto said = waits->said.get_future();
    if (said.wait_for(seconds(5)) != std::future_status::ready) return std::string("nothing");
    const auto text = said.get();
    links.requester().end_request(request.request);
    return text;
  };
  using ::testing::HasSubstr;
  wire::MoveRequest good;
  good.layers = 1;
  good.bytes = 2 * 65536;
  good.runs = {{3, 1}, {9, 1}};
  auto bad = good;
  bad.runs = {{3, 1}, {128, 1}};
  EXPECT_THAT(answer(bad), HasSubstr("blocks 128 to 128 are asked for; the pool has 128"));
  bad.runs = {{100, 29}};
  EXPECT_THAT(answer(bad), HasSubstr("the pool has 128"));
  bad = good;
  bad.first_layer = 8;
  EXPECT_THAT(answer(bad), HasSubstr("the pool has 8"));
  bad = good;
  bad.bytes += 1;
  EXPECT_THAT(answer(bad), HasSubstr("bytes"));
  bad = good;
  bad.direction = Direction::push;
  bad.runs = {{3, 2}, {4, 1}};
  bad.bytes = 3 * 65536;
  EXPECT_THAT(answer(bad), HasSubstr("block 4 would be written twice"));
}

}  // namespace
}  // namespace kvferry::path::tcp
