// What an owner makes of requests that no honest peer sends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/post.hpp>
#include <future>
#include <mutex>

#include "path/host_shm/test_pools.hpp"
#include "path/tcp/data_link.hpp"

namespace kvferry::path::tcp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

struct Heard final : LinkControl {
  void say(wire::Message message) override {
    const std::lock_guard lock(mutex);
    if (const auto* ready = std::get_if<wire::MoveReady>(&message)) readies.push_back(*ready);
    if (const auto* end = std::get_if<wire::MoveEnd>(&message)) ends.push_back(*end);
  }
  void open_streams(unsigned, std::uint32_t, std::uint32_t) override {}
  void hear_first(std::function<void()> then) override { then(); }
  std::string why_no_streams(std::chrono::steady_clock::time_point) const override { return {}; }

  std::mutex mutex;
  std::vector<wire::MoveReady> readies;
  std::vector<wire::MoveEnd> ends;
};

// One owner, whose only network thread does nothing until it is let go.
class ServedRequests : public ::testing::Test {
 protected:
  ServedRequests() {
    DataLink::Setup setup;
    setup.threads = threads;
    setup.stages = make_stage_pools(threads);
    setup.control = heard;
    link = std::make_shared<DataLink>(std::move(setup));
    const auto place = threads->place();
    asio::post(place.io(), [until = go.get_future().share()] { until.wait(); });
  }
  ~ServedRequests() override {
    let_go();
    link->close("the test is over");
    threads->stop();
  }
  void let_go() {
    if (!std::exchange(gone, true)) go.set_value();
  }
  void serve(const wire::MoveRequest& request) {
    ++holds;
    link->serve(request, pool.state(), std::shared_ptr<void>(nullptr, [this](void*) { --holds; }));
  }
  wire::MoveRequest push_of(std::uint32_t number) const {
    wire::MoveRequest request;
    request.request = number;
    request.direction = Direction::push;
    request.layers = 1;
    request.chunk_bytes = wire::kMinChunkBytes;
    request.runs = {{3, 1}};
    request.runs_total = 1;
    request.bytes = pool.shape().block_bytes();
    return request;
  }
  template <class What>
  static bool comes_to(const What& what) {
    for (int i = 0; i < 5000 && !what(); ++i) std::this_thread::sleep_for(milliseconds(1));
    return what();
  }

  Pool pool = path::test::allocated(true);
  std::shared_ptr<Heard> heard = std::make_shared<Heard>();
  std::shared_ptr<NetThreads> threads = std::make_shared<NetThreads>(1);
  std::shared_ptr<DataLink> link;
  std::promise<void> go;
  bool gone = false;
  std::atomic<int> holds{0};
};

TEST_F(ServedRequests, RunsBeyondThoseAnnouncedAreRefusedAtAnyTime) {
  const auto one_more = [&] {
    wire::MoveRuns more{1, {{4, 1}}};
    try {
      link->on(more);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::refused);
      return std::string(error.what());
    }
    return std::string("taken");
  };
  serve(push_of(1));
  EXPECT_THAT(one_more(), HasSubstr("request 1 has more runs than it announced"));
  let_go();
  ASSERT_TRUE(comes_to([&] {
    const std::lock_guard lock(heard->mutex);
    return heard->readies.size() == 1;
  }));
  EXPECT_THAT(one_more(), HasSubstr("request 1 has more runs than it announced"));
}

TEST_F(ServedRequests, ACancelledOneWeighsUntilItIsLetGo) {
  auto big = push_of(1);
  big.runs_total = wire::kMaxRuns;
  big.runs.resize(wire::kMaxRuns);
  for (std::uint32_t i = 0; i < wire::kMaxRuns; ++i) big.runs[i] = {2 * i, 1};
  const auto refused = [&] {
    const std::lock_guard lock(heard->mutex);
    return !heard->ends.empty() && heard->ends.back().failure == ErrorCode::resource;
  };
  for (big.request = 1; big.request <= 1000 && !refused(); ++big.request) {
    serve(big);
    if (!refused()) link->on(wire::MoveCancel{big.request});
  }
  ASSERT_TRUE(refused());
  EXPECT_THAT(heard->ends.back().message, HasSubstr("too much is asked for at once"));
  let_go();
  ASSERT_TRUE(comes_to([&] { return holds == 0; }));
  serve(push_of(5000));
  EXPECT_TRUE(comes_to([&] {
    const std::lock_guard lock(heard->mutex);
    return heard->readies.size() == 1;
  }));
}

// Two are told apart although they have the same number: the first must not begin in the place of
// the second, nor take it along when it goes.
TEST_F(ServedRequests, ANumberUsedAgainAfterACancelIsAnotherRequest) {
  serve(push_of(7));
  link->on(wire::MoveCancel{7});
  serve(push_of(7));
  EXPECT_THROW(serve(push_of(7)), Error);
  let_go();
  ASSERT_TRUE(comes_to([&] { return holds == 1; }));
  ASSERT_TRUE(comes_to([&] {
    const std::lock_guard lock(heard->mutex);
    return heard->readies.size() == 1;
  }));
  ASSERT_EQ(heard->ends.size(), 1u);
  link->on(wire::MoveCancel{7});
  link->on(wire::MoveCancel{7});
  ASSERT_TRUE(comes_to([&] { return holds == 0; }));
  EXPECT_EQ(heard->ends.size(), 2u);
  EXPECT_EQ(heard->readies.size(), 1u);
}

}  // namespace
}  // namespace kvferry::path::tcp
