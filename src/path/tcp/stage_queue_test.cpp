#include "path/tcp/stage_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace kvferry::path::tcp {
namespace {

constexpr auto kOut = StageUse::outgoing, kIn = StageUse::incoming;

class Stages : public ::testing::Test {
 protected:
  // How many of them a holder gets, if it takes all it can.
  unsigned takes_all(StageUse use, int holder) {
    unsigned taken = 0;
    while (queue.take(use, &holders[holder], {})) ++taken;
    return taken;
  }
  void gives_back(StageUse use, int holder) { (void)queue.give_back(use, &holders[holder]); }

  std::array<char, 64> holders{};
  StageQueue queue{128};
};

TEST_F(Stages, WhatGoesOutLeavesHalfOfThemToWhatComesIn) {
  unsigned out = 0;
  for (int holder = 0; holder < 16; ++holder) out += takes_all(kOut, holder);
  EXPECT_EQ(out, 64u);
  EXPECT_EQ(takes_all(kIn, 0), 32u);
  gives_back(kIn, 0);
  EXPECT_EQ(takes_all(kOut, 20), 0u);
  gives_back(kOut, 0);
  EXPECT_EQ(takes_all(kOut, 20), 1u);
}

TEST_F(Stages, WhatComesInMayHaveAllOfThem) {
  unsigned in = 0;
  for (int holder = 0; holder < 16; ++holder) in += takes_all(kIn, holder);
  EXPECT_EQ(in, 128u);
  EXPECT_EQ(takes_all(kOut, 0), 0u);
}

// Peers that stopped with all they could get leave something to the next.
TEST_F(Stages, OneHolderLeavesAsManyAsItHas) {
  EXPECT_EQ(takes_all(kOut, 0), 32u);
  EXPECT_EQ(takes_all(kOut, 1), 16u);
  EXPECT_EQ(takes_all(kOut, 2), 8u);
  EXPECT_EQ(takes_all(kIn, 0), 36u);  // of 72 left
  EXPECT_EQ(takes_all(kIn, 1), 18u);
  gives_back(kOut, 0);
  EXPECT_EQ(takes_all(kOut, 0), 0u);  // it has more than its part still
  EXPECT_EQ(takes_all(kOut, 2), 1u);
}

TEST_F(Stages, EverybodyWhoWaitsIsToldOnceInTheirOrder) {
  StageQueue two(2);
  std::string told;
  ASSERT_TRUE(two.take(kIn, &holders[0], {}));
  ASSERT_TRUE(two.take(kIn, &holders[1], {}));
  EXPECT_FALSE(two.take(kIn, &holders[2], [&] { told += 'a'; }));
  EXPECT_FALSE(two.take(kOut, &holders[0], [&] { told += 'b'; }));
  // Streams of one link that wait: as many kicks of all of them would be answered by as many more.
  for (int stream = 0; stream < 8; ++stream) {
    EXPECT_FALSE(two.take(kIn, &holders[2], [&] { told += 'c'; }));
  }
  for (const auto& [holder, kick] : two.give_back(kIn, &holders[0])) kick();
  EXPECT_EQ(told, "ab");  // of those that wait, one kick each
  EXPECT_TRUE(two.give_back(kIn, &holders[1]).empty());
}

}  // namespace
}  // namespace kvferry::path::tcp
