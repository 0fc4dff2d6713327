// A server and peers that were let in: they may say what they like, but use up no memory, no place
// and no line of the log that belongs to others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "hostile/footprint.hpp"
#include "hostile/raw_peer.hpp"
#include "kvferry/kvferry.hpp"
#include "session/test_credentials.hpp"

namespace kvferry {
namespace {

using hostile::expect_no_growth_since;
using hostile::footprint;
using hostile::RawPeer;
using hostile::tiny;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::uint32_t kPool = 1;           // the server's first
constexpr std::uint64_t kBlockBytes = 1024;  // of all layers of tiny()

class HostilePeer : public ::testing::Test {
 private:
  // Before the node, which tells until it is gone.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  std::string gone_;
  unsigned served_ = 0;

 protected:
  void serve(NodeOptions options = {}, bool writable = true) {
    options.log = [this](LogLevel level, std::string_view text) {
      if (level < LogLevel::warning) return;
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(text);
    };
    options.on_event = [this](const PeerEvent& event) {
      const std::lock_guard lock(mutex_);
      if (event.kind == PeerEvent::Kind::disconnected) gone_ += event.message + "\n";
      if (event.kind == PeerEvent::Kind::served) ++served_;
      changed_.notify_all();
    };
    PoolOptions pool_options;
    pool_options.writable = writable;
    pool = Pool::allocate(Device::host(), tiny(), 8, pool_options);
    node.emplace(options);
    node->add(*pool);
    listen.port = 0;
    listen.insecure = true;
    listen.socket_path = files.directory() + "/s";
    node->listen(listen);
  }
  RawPeer over_tcp(std::uint32_t from = INADDR_LOOPBACK) const {
    return RawPeer::over_tcp(node->port(), from);
  }
  RawPeer over_unix() const { return RawPeer::over_unix(listen.socket_path); }
  // Why the server ended a connection, once it did.
  std::string why_gone() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 20s, [this] { return !gone_.empty(); });
    return std::exchange(gone_, {});
  }
  bool has_served(unsigned transfers) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 10s, [&] { return served_ >= transfers; });
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

  session::TestCredentials files;  // for its directory
  ListenOptions listen;
  std::optional<Pool> pool;
  std::optional<Node> node;
};

wire::Served pulled(std::uint64_t blocks, std::uint64_t bytes) {
  wire::Served served;
  served.pool = kPool;
  served.blocks = blocks;
  served.bytes = bytes;
  served.path = "tcp";
  return served;
}

TEST_F(HostilePeer, OneThatAsksAndDoesNotReadIsCutOff) {
  serve();
  const RawPeer peer = over_tcp();
  ASSERT_TRUE(peer.is_let_in());
  wire::MoveRequest request;
  request.pool = kPool;
  request.first_layer = 500;  // there is none: each is answered
  request.bytes = kBlockBytes / 2;
  request.chunk_bytes = 65536;
  request.runs = {{0, 1}};
  request.runs_total = 1;
  const auto before = footprint();
  bool open = true;
  for (request.request = 1; open && request.request < 500'000; ++request.request)
    open = peer.say(request);
  EXPECT_FALSE(open) << "it asks without end";
  EXPECT_THAT(why_gone(), HasSubstr("does not read the answers"));
  if (!kSanitized) {
    EXPECT_LE(footprint().resident_kib, before.resident_kib + 100 * 1024);
  }
  EXPECT_TRUE(over_tcp().is_let_in());
}

TEST_F(HostilePeer, AnAnnouncedMessageTakesNoMemoryBeforeItComes) {
  serve();
  std::vector<RawPeer> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(over_unix());
    ASSERT_TRUE(peers.back().is_let_in());
  }
  const auto before = footprint();
  auto frame = wire::encode(wire::Ping{false});
  frame.resize(wire::kHeaderBytes + 1);
  const std::uint32_t promised = wire::kMaxPayloadBytes;
  std::memcpy(frame.data() + 8, &promised, sizeof promised);
  for (const RawPeer& peer : peers) ASSERT_TRUE(peer.send(frame));
  // Who comes later is heard after them.
  const RawPeer last = over_unix();
  ASSERT_TRUE(last.is_let_in());
  last.say(wire::Ping{false});
  EXPECT_TRUE(last.hear_of<wire::Ping>());
  expect_no_growth_since(before);
}

TEST_F(HostilePeer, WhatItSaysItMovedMustBePossible) {
  serve({}, false);
  auto pushed = pulled(1, kBlockBytes);
  pushed.direction = Direction::push;
  auto elder = pulled(1, kBlockBytes);
  elder.generation = 7;
  auto other = pulled(1, kBlockBytes);
  other.pool = 5;
  const std::pair<wire::Served, const char*> lies[] = {
      {pulled(1, kBlockBytes + 1), "1025 bytes in 1 blocks"},
      {pulled(3, std::uint64_t{1} << 59), "576460752303423488 bytes in 3 blocks"},
      {pulled(0, 1), "1 bytes in 0 blocks"},
      {pushed, "which it may not push"},
      {elder, "in generation 7, which is 1 here"},
      {other, "on pool 5, which it was never granted"},
  };
  for (const auto& [lie, why] : lies) {
    const RawPeer peer = over_tcp();
    ASSERT_TRUE(peer.is_let_in());
    peer.say(wire::OpenPool{1, kPool, false});
    ASSERT_TRUE(peer.hear_of<wire::PoolOpened>());
    peer.say(lie);
    EXPECT_THAT(why_gone(), HasSubstr(why));
  }
  EXPECT_EQ(node->status().served_transfers, 0u);
  EXPECT_EQ(node->status().served_bytes, 0u);
}

TEST_F(HostilePeer, APushHasNoMoreBlocksThanThePool) {
  serve();
  const RawPeer peer = over_tcp();
  ASSERT_TRUE(peer.is_let_in());
  peer.say(wire::OpenPool{1, kPool, true});
  auto pushed = pulled(8, 8 * kBlockBytes);
  peer.say(pulled(9, 9 * kBlockBytes));  // one twice
  pushed.direction = Direction::push;
  peer.say(pushed);
  ASSERT_TRUE(has_served(2));
  pushed.blocks = 9;
  peer.say(pushed);
  EXPECT_THAT(why_gone(), HasSubstr("9 blocks pushed, where there are 8"));
  EXPECT_EQ(node->status().served_bytes, 17 * kBlockBytes);
}

TEST_F(HostilePeer, OneAddressHasHalfOfThePlaces) {
  NodeOptions options;
  options.max_peers = 20;
  serve(options);
  std::vector<RawPeer> peers;
  for (int i = 0; i < 10; ++i) {
    peers.push_back(over_tcp());
    ASSERT_TRUE(peers.back().is_let_in());
  }
  const auto answer = over_tcp().meet();
  ASSERT_TRUE(answer && std::holds_alternative<wire::Refusal>(*answer));
  const auto& refusal = std::get<wire::Refusal>(*answer);
  EXPECT_EQ(refusal.code, ErrorCode::resource);
  EXPECT_THAT(refusal.message, HasSubstr("10 peers from 127.0.0.1 are connected already"));
  // Others have the rest, and of this host's own user each may have all of it.
  peers.push_back(over_tcp(INADDR_LOOPBACK + 1));
  EXPECT_TRUE(peers.back().is_let_in());
  for (int i = 11; i < 20; ++i) {
    peers.push_back(over_unix());
    ASSERT_TRUE(peers.back().is_let_in());
  }
  Node client;
  try {
    client.connect("unix:" + listen.socket_path);
    ADD_FAILURE() << "a 21st peer was let in";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::resource);
    EXPECT_THAT(error.what(), HasSubstr("20 peers are connected already"));
  }
  // Whoever goes makes room.
  peers.erase(peers.begin());
  EXPECT_THAT(why_gone(), HasSubstr("died"));
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (node->status().peers == 20 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(over_tcp().is_let_in());
}

TEST_F(HostilePeer, FewPlacesAreNotSharedOut) {
  NodeOptions options;
  options.max_peers = 2;
  serve(options);
  const RawPeer one = over_tcp(), two = over_tcp();
  EXPECT_TRUE(one.is_let_in());
  EXPECT_TRUE(two.is_let_in());
}

TEST_F(HostilePeer, GivingBackWhatItDoesNotHaveMakesNoRoom) {
  serve();
  const RawPeer peer = over_tcp();
  ASSERT_TRUE(peer.is_let_in());
  for (std::uint32_t i = 0; i < 1024; ++i) {
    ASSERT_TRUE(peer.say(wire::OpenPool{i, kPool, false}));
    ASSERT_TRUE(peer.hear_of<wire::PoolOpened>());
  }
  for (int i = 0; i < 100; ++i) peer.say(wire::Unmapped{77, 1});
  peer.say(wire::OpenPool{2000, kPool, false});
  const auto denied = peer.hear_of<wire::Denied>();
  ASSERT_TRUE(denied);
  EXPECT_THAT(denied->message, HasSubstr("1024 grants are open already"));
  peer.say(wire::Unmapped{kPool, 1});
  peer.say(wire::OpenPool{2001, kPool, false});
  EXPECT_TRUE(peer.hear_of<wire::PoolOpened>());
}

TEST_F(HostilePeer, FailedHandshakesDoNotFillTheLog) {
  serve();
  for (int i = 0; i < 300; ++i) {
    const RawPeer peer = over_unix();
    peer.say(wire::Ping{false});
    EXPECT_TRUE(peer.hear_of<wire::Refusal>());
  }
  const auto said = lines();
  EXPECT_GE(said.size(), 4u);
  EXPECT_LE(said.size(), 12u);
  EXPECT_THAT(said.back(), HasSubstr("(256 such from this host by now)"));
}

TEST_F(HostilePeer, NoticesUnderEverNewNamesAreBounded) {
  NodeOptions options;
  options.max_notices = 150;
  serve(options);
  auto served = pulled(1, kBlockBytes);
  served.notice = "x";
  for (unsigned i = 1; i <= 4; ++i) {
    const RawPeer peer = over_tcp();
    ASSERT_TRUE(peer.is_let_in("n" + std::to_string(i)));
    peer.say(wire::OpenPool{1, kPool, false});
    for (int n = 0; n < 50; ++n) ASSERT_TRUE(peer.say(served));
    ASSERT_TRUE(has_served(i * 50));
  }
  unsigned kept = 0;
  while (node->next_notice()) ++kept;
  EXPECT_EQ(kept, 150u);
  // At 1, 2, 4, ... 32 of 50; the last may still be on its way.
  EXPECT_GE(lines().size(), 5u + 1);  // and one that says how insecure this is
  EXPECT_LE(lines().size(), 6u + 1);
  EXPECT_THAT(lines().back(), HasSubstr("notices were dropped, the last one of n4"));
}

TEST_F(HostilePeer, NoticesThatNobodyReadsAreNotKept) {
  NodeOptions options;
  options.max_notices = 0;
  serve(options);
  const RawPeer peer = over_tcp();
  ASSERT_TRUE(peer.is_let_in());
  auto served = pulled(1, kBlockBytes);
  served.notice = "x";
  peer.say(wire::OpenPool{1, kPool, false});
  peer.say(served);
  peer.say(pulled(1, kBlockBytes));  // the notice before it has been dealt with
  ASSERT_TRUE(has_served(2));
  EXPECT_FALSE(node->next_notice());
  EXPECT_EQ(lines().size(), 1u);
}

}  // namespace
}  // namespace kvferry
