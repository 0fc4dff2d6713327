// How a link comes by its streams where the network, or the peer, does not play along.
#include "path/tcp/data_link.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>

#include "path/tcp/test_links.hpp"

namespace kvferry::path::tcp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Opens what the test says, and counts.
struct Scripted final : LinkControl {
  struct Round {
    unsigned count = 0;
    std::uint32_t epoch = 0, number = 0;
  };
  void say(wire::Message) override {}
  void open_streams(unsigned count, std::uint32_t epoch, std::uint32_t round) override {
    {
      const std::lock_guard lock(mutex);
      rounds.push_back({count, epoch, round});
    }
    if (then) then({count, epoch, round});
  }
  void hear_first(std::function<void()> heard) override { heard(); }
  std::string why_no_streams(steady_clock::time_point) const override { return {}; }
  std::size_t tried() {
    const std::lock_guard lock(mutex);
    return rounds.size();
  }

  std::mutex mutex;
  std::vector<Round> rounds;
  std::function<void(Round)> then;
};

class OpeningStreams : public ::testing::Test {
 protected:
  OpeningStreams() {
    DataLink::Setup setup;
    setup.threads = threads;
    setup.control = control;
    link = std::make_shared<DataLink>(std::move(setup));
  }
  ~OpeningStreams() override {
    link->close("the test is over");
    threads->stop();
  }
  void adopt(std::uint32_t epoch) {
    auto [ours, theirs] = test::loopback_pair();
    far_ends.push_back(std::move(theirs));
    link->adopt(threads->place(), plain_wire(std::move(ours)), {false, epoch, ""}, false);
  }
  unsigned ensure(unsigned count, milliseconds time) {
    return link->ensure_streams(count, steady_clock::now() + time);
  }
  // Why not, and after how long; "N" where there are N.
  std::string outcome(unsigned count, milliseconds time) {
    const auto begin = steady_clock::now();
    std::string text;
    try {
      text = std::to_string(ensure(count, time));
    } catch (const Error& error) {
      code = error.code();
      text = error.what();
    }
    took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
    return text;
  }
  bool comes_to(const std::function<bool()>& what) {
    for (int i = 0; i < 2000 && !what(); ++i) std::this_thread::sleep_for(milliseconds(1));
    return what();
  }
  bool has(unsigned streams) {
    return link->describe(256).starts_with(std::to_string(streams) + " ");
  }

  std::shared_ptr<NetThreads> threads = std::make_shared<NetThreads>(1);
  std::shared_ptr<Scripted> control = std::make_shared<Scripted>();
  std::shared_ptr<DataLink> link;
  std::vector<UniqueFd> far_ends;
  ErrorCode code = ErrorCode::failed;
  milliseconds took{};
};

// It was redialled without a pause, and for ever, once the time was up: a transfer that wanted two
// streams, of which a network that had stalled gave one, outlived its deadline and used up the
// descriptors of both ends.
TEST_F(OpeningStreams, WhereFewerComeInTimeThoseDo) {
  control->then = [&](Scripted::Round round) {
    if (round.number == 1) adopt(round.epoch);
    if (round.number == 1) link->streams_opened(round.number);
  };
  EXPECT_EQ(outcome(1, seconds(5)), "1");
  auto stalled = std::async(std::launch::async, [&] { return outcome(2, milliseconds(400)); });
  ASSERT_EQ(stalled.wait_for(seconds(5)), std::future_status::ready) << control->tried();
  EXPECT_EQ(stalled.get(), "1");
  EXPECT_GE(took, milliseconds(100));  // a quarter of the time
  EXPECT_LT(took, milliseconds(1000));
  EXPECT_EQ(control->tried(), 2u);
  // Nor does the next transfer dial once more while that is under way.
  EXPECT_EQ(outcome(2, milliseconds(20)), "1");
  EXPECT_EQ(control->tried(), 2u);
}

TEST_F(OpeningStreams, NoneInTimeIsADeadline) {
  EXPECT_THAT(outcome(2, milliseconds(50)), ::testing::HasSubstr("in time"));
  EXPECT_EQ(code, ErrorCode::deadline);
  EXPECT_THAT(outcome(2, milliseconds(-5)), ::testing::HasSubstr("in time"));
  EXPECT_EQ(control->tried(), 1u);
  // What was asked for comes late: the next transfer has it.
  adopt(1);
  adopt(1);
  link->streams_opened(1);
  EXPECT_EQ(outcome(2, seconds(1)), "2");
  EXPECT_EQ(control->tried(), 1u);
}

TEST_F(OpeningStreams, StreamsThatComeToNothingAreRedialledMoreAndMoreRarely) {
  control->then = [&](Scripted::Round round) { link->streams_opened(round.number); };
  EXPECT_THAT(outcome(2, milliseconds(400)), ::testing::HasSubstr("in time"));
  EXPECT_EQ(code, ErrorCode::deadline);
  EXPECT_LT(took, milliseconds(1500));
  // After 10, 20, 40, 80, 160 and 320 ms.
  EXPECT_GE(control->tried(), 3u);
  EXPECT_LE(control->tried(), 6u);
}

TEST_F(OpeningStreams, ARefusalIsToldAsWhatItIs) {
  control->then = [&](Scripted::Round round) {
    link->streams_refused(round.number, ErrorCode::unreachable, "no route to host");
    link->streams_opened(round.number);
  };
  const auto end = steady_clock::now() + milliseconds(400);
  while (steady_clock::now() < end) {
    EXPECT_THAT(outcome(1, seconds(5)), ::testing::HasSubstr("no route to host"));
    EXPECT_EQ(code, ErrorCode::unreachable);
  }
  EXPECT_LE(control->tried(), 7u) << "a program that tries again at once dials without a pause";
}

TEST_F(OpeningStreams, OneOfTwoThatIsRefusedLeavesOne) {
  control->then = [&](Scripted::Round round) {
    link->streams_refused(round.number, ErrorCode::unreachable, "reset");
    adopt(round.epoch);
    link->streams_opened(round.number);
  };
  EXPECT_EQ(outcome(2, seconds(5)), "1");
  // And no transfer waits for a second one meanwhile.
  EXPECT_EQ(outcome(2, seconds(5)), "1");
  EXPECT_LT(took, milliseconds(500));
  EXPECT_EQ(control->tried(), 1u);
}

TEST_F(OpeningStreams, StreamsThatBrokeTakeTheirEpochAlong) {
  control->then = [&](Scripted::Round round) {
    adopt(round.epoch);
    link->streams_opened(round.number);
  };
  EXPECT_EQ(outcome(1, seconds(5)), "1");
  far_ends.clear();
  ASSERT_TRUE(comes_to([&] { return has(0); }));
  // Dialled before, greeted now: the owner may have dropped it with the others.
  adopt(1);
  EXPECT_TRUE(has(0));
  EXPECT_EQ(outcome(1, seconds(5)), "1");
  ASSERT_EQ(control->tried(), 2u);
  EXPECT_EQ(control->rounds[1].epoch, 2u);
}

TEST_F(OpeningStreams, WhatIsHeardOfAnEarlierRoundIsNoNews) {
  control->then = [&](Scripted::Round round) {
    if (round.number == 1) link->streams_opened(1);
    if (round.number != 2) return;
    link->streams_opened(1);
    link->streams_refused(1, ErrorCode::refused, "an old story");
    adopt(round.epoch);
    adopt(round.epoch);
    link->streams_opened(2);
  };
  EXPECT_EQ(outcome(2, seconds(5)), "2");
}

}  // namespace
}  // namespace kvferry::path::tcp
