#include "bench/plain_sockets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

TEST(PlainSockets, copy_more_and_less_again_and_again) {
  for (const unsigned streams : {1u, 2u, 3u}) {
    PlainSockets sockets(streams, "");
    EXPECT_FALSE(sockets.congestion().empty());
    for (const std::uint64_t bytes : {1000u, 3'000'001u, 1u, 2'000'000u}) {
      for (int i = 0; i < 5; ++i) EXPECT_GT(sockets.copy(bytes), 0) << streams << ' ' << bytes;
    }
  }
}

TEST(PlainSockets, end_without_a_copy) { PlainSockets sockets(4, ""); }

TEST(PlainSockets, use_the_congestion_control_asked_for) {
  EXPECT_EQ(PlainSockets(1, "reno").congestion(), "reno");
  try {
    PlainSockets(1, "no_such");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("no_such"));
  }
}

}  // namespace
}  // namespace kvferry::cli::bench
