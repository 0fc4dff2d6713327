#include "peers/render.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace kvferry::cli::peers {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

Snapshot sample() {
  RegisteredPeer peer;
  peer.name = "prefill-0";
  peer.addresses = {"10.0.0.1:5555", "10.1.0.1:5555"};
  peer.health = "ready";
  peer.started = TimePoint(seconds(1000));
  peer.status.peers = 3;
  peer.status.max_peers = 256;
  peer.status.served_bytes = 1 << 20;
  RemotePool pool;
  pool.name = "kv";
  pool.blocks = 1638;
  pool.device = "host";
  peer.status.pools = {pool, pool};
  RegisteredPeer empty = peer;
  empty.name = "prefill-1";
  empty.status.pools.clear();
  return {"etcd://a:1", {peer, empty}, TimePoint(seconds(1100))};
}

TEST(PeersText, has_a_line_a_pool) {
  const std::string text = to_text(sample());
  EXPECT_THAT(text, HasSubstr("prefill-0  10.0.0.1:5555 +1"));
  EXPECT_THAT(text, HasSubstr("40x2x8x128x16 bf16   1,638"));
  EXPECT_THAT(text, HasSubstr("3/256"));
  EXPECT_THAT(text, HasSubstr("100 s"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(to_text({"etcd://a:1", {}, {}}), "nobody is registered in etcd://a:1");
}

TEST(PeersJson, has_everything) {
  const auto json = nlohmann::json::parse(to_json(sample(), std::nullopt, 2));
  EXPECT_EQ(json["peers"].size(), 2u);
  EXPECT_EQ(json["peers"][0]["age_s"], 100);
  EXPECT_EQ(json["peers"][0]["pools"][0]["block_bytes"], 65536);
  EXPECT_EQ(json["exit_code"], 0);
  EXPECT_THAT(to_json(sample(), std::nullopt, -1), Not(HasSubstr("\n")));
  const auto failed = nlohmann::json::parse(to_json({}, Failure{"unreachable", 3, "nobody"}, 2));
  EXPECT_EQ(failed["exit_code"], 3);
  EXPECT_EQ(failed["error"]["message"], "nobody");
}

TEST(PeersEssence, loads_and_ages_are_no_change) {
  Snapshot later = sample();
  later.at += seconds(5);
  later.peers[0].status.served_bytes *= 2;
  later.peers[0].status.peers = 0;
  EXPECT_EQ(essence(later), essence(sample()));
  later.peers[0].health = "draining";
  EXPECT_NE(essence(later), essence(sample()));
  later = sample();
  later.peers[0].started += seconds(1);  // the same name, started again
  EXPECT_NE(essence(later), essence(sample()));
  later.peers.pop_back();
  EXPECT_NE(essence(later), essence(sample()));
}

TEST(PeersAge, in_the_unit_that_fits) {
  EXPECT_EQ(format_age(seconds(0)), "0 s");
  EXPECT_EQ(format_age(seconds(119)), "119 s");
  EXPECT_EQ(format_age(seconds(120)), "2 min");
  EXPECT_EQ(format_age(seconds(7200)), "2 h");
  EXPECT_EQ(format_age(seconds(2 * 86400)), "2 d");
}

// A server whose clock is ahead is not negative years old.
TEST(PeersAge, is_never_below_zero) {
  Snapshot snapshot = sample();
  snapshot.at = TimePoint(seconds(1));
  EXPECT_THAT(to_text(snapshot), HasSubstr("0 s"));
}

}  // namespace
}  // namespace kvferry::cli::peers
