#include "bench/plain_sockets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

// As main() does, which BareTls requires.
[[maybe_unused]] const auto kSigpipeBefore = std::signal(SIGPIPE, SIG_IGN);

TEST(PlainSockets, copy_more_and_less_again_and_again) {
  for (const auto inside : {PlainSockets::Inside::nothing, PlainSockets::Inside::tls}) {
    for (const unsigned streams : {1u, 2u, 3u}) {
      PlainSockets sockets(streams, "", inside);
      EXPECT_FALSE(sockets.congestion().empty());
      for (const std::uint64_t bytes : {1000u, 3'000'001u, 1u, 2'000'000u}) {
        for (int i = 0; i < 5; ++i) EXPECT_GT(sockets.copy(bytes), 0) << streams << ' ' << bytes;
      }
    }
  }
}

TEST(PlainSockets, end_without_a_copy) {
  PlainSockets plain(4, "");
  PlainSockets encrypted(4, "", PlainSockets::Inside::tls);
}

TEST(BareTls, what_was_sent_arrives) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd near(ends[0]), far(ends[1]);
  auto [client, server] = BareTls::over(near.get(), far.get());
  // Longer than a call, in pieces that are none of a record's length.
  std::vector<char> from(3'000'001), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 2654435761u >> 13);
  std::thread sender([&] {
    EXPECT_TRUE(client.send_all({{&from[0], 1'234'567}, {&from[1'234'567], 1'765'434}}));
  });
  EXPECT_TRUE(server.receive_all({{to.data(), to.size()}}));
  sender.join();
  EXPECT_EQ(from, to);
  ::shutdown(near.get(), SHUT_RDWR);
  EXPECT_FALSE(server.receive_all({{to.data(), 1}}));
}

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
