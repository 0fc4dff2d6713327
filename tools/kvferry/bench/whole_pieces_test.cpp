#include "bench/whole_pieces.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstddef>
#include <numeric>
#include <thread>

#include "base/unique_fd.hpp"

namespace kvferry::cli::bench {
namespace {

iovec piece(std::vector<char>& from, std::size_t at, std::size_t bytes) {
  return {&from[at], bytes};
}

TEST(WholePieces, Arrive) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd a(ends[0]), b(ends[1]);
  std::vector<char> from(3'000'000), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<char>(i * 2654435761u >> 13);
  // More pieces than go into a call, an empty one, and one larger than a call, cut in other places.
  std::vector<iovec> sent, got;
  for (std::size_t i = 0; i < 100; ++i) sent.push_back(piece(from, i * 1000, i == 7 ? 0 : 1000));
  sent.push_back(piece(from, 100'000, 2'900'000));
  sent.push_back(piece(from, 0, 0));
  got.push_back(piece(to, 0, 1'500'000));
  got.push_back(piece(to, 1'500'000, 1'499'000));
  std::thread sender([&] { EXPECT_TRUE(send_all(a.get(), sent)); });
  EXPECT_TRUE(receive_all(b.get(), got));
  sender.join();
  from.erase(from.begin() + 7000, from.begin() + 8000);
  to.resize(from.size());
  EXPECT_EQ(from, to);
}

TEST(WholePieces, AnEndIsSeen) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd b(ends[1]);
  UniqueFd a(ends[0]);
  std::vector<char> bytes(100);
  ASSERT_TRUE(send_all(a.get(), {piece(bytes, 0, 50)}));
  a.reset();
  EXPECT_FALSE(receive_all(b.get(), {piece(bytes, 0, 100)}));
  EXPECT_FALSE(send_all(b.get(), {piece(bytes, 0, 100)}));
}

TEST(WholePieces, AreCut) {
  std::vector<char> bytes(100);
  const std::vector<iovec> pieces{piece(bytes, 0, 10), piece(bytes, 50, 10), piece(bytes, 20, 10)};
  std::vector<iovec> together;
  for (const auto& [begin, end] : {std::pair(0, 4), std::pair(4, 20), std::pair(20, 25)}) {
    for (const iovec& one : cut(pieces, begin, end)) together.push_back(one);
  }
  ASSERT_EQ(together.size(), 4u);
  EXPECT_EQ(together[1].iov_base, &bytes[4]);
  EXPECT_EQ(together[2].iov_base, &bytes[50]);
  EXPECT_EQ(together[2].iov_len, 10u);
  EXPECT_EQ(together[3].iov_len, 5u);
  EXPECT_TRUE(cut(pieces, 30, 40).empty());
}

}  // namespace
}  // namespace kvferry::cli::bench
