#include "registry/record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"

namespace kvferry::registry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Record sample() {
  Record record;
  RegisteredPeer& peer = record.peer;
  peer.name = "prefill-0";
  peer.addresses = {"10.0.0.1:5555", "[fd00::1]:5555"};
  peer.health = "ready";
  peer.version = "0.1.0";
  peer.host = "node-7";
  peer.pid = 4711;
  peer.started = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
  peer.status.name = "prefill-0";
  peer.status.peers = 3;
  peer.status.max_peers = 256;
  peer.status.served_transfers = 12;
  peer.status.served_bytes = std::uint64_t{1} << 40;
  RemotePool pool;
  pool.name = "kv";
  pool.tag = "fill=ones";
  pool.blocks = 1638;
  pool.writable = true;
  pool.generation = 2;
  pool.device = "cuda GPU-0123";
  peer.status.pools = {pool};
  record.boot_id = own_boot_id();
  return record;
}

std::string problem_of(const json& value) {
  try {
    decode("prefill-0", value.dump());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    return error.what();
  }
  return "none";
}

TEST(RegistryRecord, ComesBackAsItWas) {
  const Record record = sample();
  const RegisteredPeer peer = decode("prefill-0", encode(record)).peer;
  EXPECT_EQ(peer.name, "prefill-0");
  EXPECT_EQ(peer.addresses, record.peer.addresses);
  EXPECT_EQ(peer.health, "ready");
  EXPECT_EQ(peer.version, "0.1.0");
  EXPECT_EQ(peer.host, "node-7");
  EXPECT_EQ(peer.pid, 4711u);
  EXPECT_EQ(peer.started, record.peer.started);
  EXPECT_TRUE(peer.same_host);
  EXPECT_EQ(peer.status.name, "prefill-0");
  EXPECT_EQ(peer.status.addresses, peer.addresses);
  EXPECT_EQ(peer.status.peers, 3u);
  EXPECT_EQ(peer.status.max_peers, 256u);
  EXPECT_EQ(peer.status.served_transfers, 12u);
  EXPECT_EQ(peer.status.served_bytes, std::uint64_t{1} << 40);
  ASSERT_EQ(peer.status.pools.size(), 1u);
  const RemotePool& pool = peer.status.pools.front();
  EXPECT_EQ(pool.name, "kv");
  EXPECT_EQ(pool.tag, "fill=ones");
  EXPECT_EQ(pool.shape, CacheShape{});
  EXPECT_EQ(pool.blocks, 1638u);
  EXPECT_TRUE(pool.writable);
  EXPECT_EQ(pool.generation, 2u);
  EXPECT_EQ(pool.device, "cuda GPU-0123");
}

// What peers said they moved, added up: an entry that nobody reads would take the node off the
// list.
TEST(RegistryRecord, SumsBeyondItsRangeAreCut) {
  Record record = sample();
  record.peer.status.served_transfers = UINT64_MAX;
  record.peer.status.served_bytes = UINT64_MAX;
  const NodeStatus status = decode("prefill-0", encode(record)).peer.status;
  EXPECT_EQ(status.served_transfers, std::uint64_t{1} << 62);
  EXPECT_EQ(status.served_bytes, std::uint64_t{1} << 62);
}

TEST(RegistryRecord, AnotherBootIsAnotherHost) {
  Record record = sample();
  record.boot_id = std::string(32, '0');
  EXPECT_FALSE(decode("a", encode(record)).peer.same_host);
  record.boot_id.clear();
  EXPECT_FALSE(decode("a", encode(record)).peer.same_host);
}

TEST(RegistryRecord, EveryFieldIsNeededAndChecked) {
  const json good = json::parse(encode(sample()));
  EXPECT_EQ(problem_of(good), "none");
  for (const auto& [key, value] : good.items()) {
    json without = good;
    without.erase(key);
    EXPECT_THAT(problem_of(without), HasSubstr(key + " is missing"));
    json odd = good;
    odd[key] = nullptr;
    EXPECT_THAT(problem_of(odd), HasSubstr("prefill-0")) << key;
  }
  for (const auto& [key, value] : good["pools"][0].items()) {
    json odd = good;
    odd["pools"][0][key] = json::object();
    EXPECT_THAT(problem_of(odd), HasSubstr("pools[0]")) << key;
  }
}

TEST(RegistryRecord, RefusesWhatCouldHarm) {
  const json good = json::parse(encode(sample()));
  const auto with = [&](const char* key, json value) {
    json odd = good;
    odd[json::json_pointer(key)] = std::move(value);
    return problem_of(odd);
  };
  EXPECT_THAT(with("/schema", 2), HasSubstr("same release"));
  EXPECT_THAT(with("/addresses", json::array()), HasSubstr("empty"));
  EXPECT_THAT(with("/addresses/0", "10.0.0.1"), HasSubstr("no port"));
  EXPECT_THAT(with("/addresses/0", std::string(400, 'a') + ":1"), HasSubstr("no address"));
  EXPECT_THAT(with("/addresses", json(std::vector<std::string>(33, "a:1"))), HasSubstr("33"));
  EXPECT_THAT(with("/host", "\x1b[2J"), HasSubstr("steer a terminal"));
  EXPECT_THAT(with("/health", std::string(65, 'a')), HasSubstr("65 bytes"));
  EXPECT_THAT(with("/started", 1e300), HasSubstr("whole number"));
  EXPECT_THAT(with("/started", UINT64_MAX), HasSubstr("must be"));
  EXPECT_THAT(with("/pid", -1), HasSubstr("whole number"));
  EXPECT_THAT(with("/load/peers", std::uint64_t{1} << 40), HasSubstr("must be"));
  EXPECT_THAT(with("/pools/0/layers", 0), HasSubstr("layers"));
  EXPECT_THAT(with("/pools/0/dtype", "fp7"), HasSubstr("fp7"));
  EXPECT_THAT(with("/pools/0/blocks", 0), HasSubstr("blocks"));
  EXPECT_THAT(with("/pools/0/name", "a b"), HasSubstr("no name"));
}

TEST(RegistryRecord, RefusesWhatIsNoRecord) {
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{"),
        std::string("\xff"), std::string(200'000, '['), std::string(kMaxRecordBytes + 1, ' ')})
    EXPECT_THROW(decode("a", text), Error) << text.substr(0, 20);
  EXPECT_THROW(decode("a b", encode(sample())), Error);
  EXPECT_THROW(decode("", encode(sample())), Error);
}

TEST(RegistryRecord, TooManyPoolsAreRefusedWhereTheyAreAnnounced) {
  Record record = sample();
  record.peer.status.pools.resize(2000, record.peer.status.pools.front());
  EXPECT_THROW(encode(record), Error);
}

TEST(RegistryRecord, LocalAddresses) {
  for (const char* local : {"127.0.0.1:1", "127.1.2.3:1", "localhost:1", "[::1]:1", "unix:/a",
                            "[::ffff:127.0.0.1]:1", "[::ffff:7f00:1]:1"})
    EXPECT_TRUE(is_local_only(local)) << local;
  for (const char* far :
       {"10.0.0.1:1", "[fd00::1]:1", "host:1", "127-host:1", "127.host:1", "[::ffff:10.0.0.1]:1"})
    EXPECT_FALSE(is_local_only(far)) << far;
}

}  // namespace
}  // namespace kvferry::registry
