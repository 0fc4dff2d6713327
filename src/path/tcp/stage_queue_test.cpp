#include "path/tcp/stage_queue.hpp"

#include <gtest/gtest.h>

#include <string>

namespace kvferry::path::tcp {
namespace {

TEST(StageQueue, WhatGoesOutLeavesHalfOfThemToWhatComesIn) {
  StageQueue queue(8);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(queue.take(StageUse::outgoing, {}));
  EXPECT_FALSE(queue.take(StageUse::outgoing, {}));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(queue.take(StageUse::incoming, {}));
  EXPECT_FALSE(queue.take(StageUse::incoming, {}));
  (void)queue.give_back(StageUse::incoming);
  EXPECT_FALSE(queue.take(StageUse::outgoing, {}));
  EXPECT_TRUE(queue.take(StageUse::incoming, {}));
  (void)queue.give_back(StageUse::outgoing);
  EXPECT_TRUE(queue.take(StageUse::outgoing, {}));
}

TEST(StageQueue, WhatComesInMayHaveAllOfThem) {
  StageQueue queue(8);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(queue.take(StageUse::incoming, {}));
  EXPECT_FALSE(queue.take(StageUse::outgoing, {}));
}

TEST(StageQueue, EverybodyWhoWaitsIsToldOnceInTheirOrder) {
  StageQueue queue(2);
  std::string told;
  ASSERT_TRUE(queue.take(StageUse::incoming, {}));
  ASSERT_TRUE(queue.take(StageUse::incoming, {}));
  EXPECT_FALSE(queue.take(StageUse::incoming, [&] { told += 'a'; }));
  EXPECT_FALSE(queue.take(StageUse::outgoing, [&] { told += 'b'; }));
  for (const auto& kick : queue.give_back(StageUse::incoming)) kick();
  EXPECT_EQ(told, "ab");
  EXPECT_TRUE(queue.give_back(StageUse::incoming).empty());
}

}  // namespace
}  // namespace kvferry::path::tcp
