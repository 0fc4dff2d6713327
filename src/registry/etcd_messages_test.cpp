#include "registry/etcd_messages.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"
#include "registry/base64.hpp"

namespace kvferry::registry::etcd {
namespace {

using nlohmann::json;

std::string key(const std::string& name) { return to_base64(std::string(kPrefix) + name); }

// The answers below are etcd 3.4's own, headers shortened.
constexpr const char* kHeader = R"("header":{"revision":"1","raft_term":"2"})";
std::string answer(const std::string& rest) { return fmt::format("{{{}{}}}", kHeader, rest); }

TEST(EtcdMessages, Leases) {
  EXPECT_EQ(grant_request(std::chrono::seconds(5)), R"({"TTL":"5"})");
  const Lease lease = read_grant(answer(R"(,"ID":"7587","TTL":"5")"));
  EXPECT_EQ(lease.id, 7587u);
  EXPECT_EQ(lease.time_to_live, std::chrono::seconds(5));
  // Ids are signed in etcd.
  EXPECT_EQ(lease_request(read_grant(answer(R"(,"ID":"-2","TTL":"5")")).id), R"({"ID":"-2"})");
  EXPECT_TRUE(read_keep_alive(R"({"result":{"ID":"1","TTL":"5"}})"));
  EXPECT_FALSE(read_keep_alive(R"({"result":{"ID":"1"}})"));
  EXPECT_EQ(read_time_left(answer(R"(,"ID":"1","TTL":"-1")")), std::nullopt);
  EXPECT_EQ(read_time_left(answer(R"(,"ID":"1","TTL":"4","grantedTTL":"5")")),
            std::chrono::seconds(4));
  EXPECT_EQ(read_time_left(answer(R"(,"ID":"1","grantedTTL":"5")")), std::chrono::seconds(0));
  for (const char* odd : {"", "{}", R"({"ID":"1","TTL":"0"})", R"({"ID":"x","TTL":"5"})",
                          R"({"ID":1,"TTL":5})", R"({"ID":"1","TTL":"99999999999999999999"})"})
    EXPECT_THROW(read_grant(odd), Error) << odd;
  EXPECT_THROW(read_keep_alive("{}"), Error);
}

TEST(EtcdMessages, Claims) {
  const Entry entry{"a", "value", 7};
  const json create = json::parse(create_request(entry));
  EXPECT_EQ(create["compare"][0], json({{"key", key("a")},
                                        {"target", "CREATE"},
                                        {"result", "EQUAL"},
                                        {"create_revision", "0"}}));
  EXPECT_EQ(create["success"][0]["request_put"],
            json({{"key", key("a")}, {"value", to_base64("value")}, {"lease", "7"}}));
  EXPECT_EQ(create["failure"][0]["request_range"], json({{"key", key("a")}}));
  const json renew = json::parse(renew_request(entry));
  EXPECT_EQ(renew["compare"][0]["target"], "LEASE");
  EXPECT_EQ(renew["compare"][0]["lease"], "7");

  EXPECT_TRUE(read_claim(answer(R"(,"succeeded":true,"responses":[{"response_put":{}}])")).written);
  const Claim none = read_claim(answer(R"(,"responses":[{"response_range":{}}])"));
  EXPECT_FALSE(none.written);
  EXPECT_FALSE(none.there);
  const Claim taken = read_claim(answer(R"(,"responses":[{"response_range":{"kvs":[{"key":")" +
                                        key("a") + R"(","value":"YQ==","lease":"9"}]}}])"));
  EXPECT_FALSE(taken.written);
  ASSERT_TRUE(taken.there);
  EXPECT_EQ(taken.there->name, "a");
  EXPECT_EQ(taken.there->value, "a");
  EXPECT_EQ(taken.there->lease, 9u);
}

TEST(EtcdMessages, Pages) {
  EXPECT_EQ(json::parse(get_request("a")), json({{"key", key("a")}, {"limit", "32"}}));
  EXPECT_EQ(
      json::parse(list_request("")),
      json({{"key", key("")}, {"limit", "32"}, {"range_end", to_base64("/kvferry/v1/peers0")}}));
  EXPECT_EQ(json::parse(list_request("a"))["key"], key(std::string("a\0", 2)));
  EXPECT_TRUE(read_page(answer("")).entries.empty());
  const Page page =
      read_page(answer(R"(,"more":true,"kvs":[{"key":")" + key("a") + R"("},{"key":")" + key("b") +
                       R"(","value":"YWI=","lease":"3"}],"count":"9")"));
  EXPECT_TRUE(page.more);
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[0].value, "");
  EXPECT_EQ(page.entries[1].value, "ab");
  EXPECT_EQ(page.entries[1].lease, 3u);
}

TEST(EtcdMessages, StrangeKeysAndLongPagesAreRefused) {
  EXPECT_THROW(read_page(R"({"kvs":[{"key":")" + to_base64("/other/a") + R"("}]})"), Error);
  EXPECT_THROW(read_page(R"({"kvs":[{"key":"!"}]})"), Error);
  EXPECT_THROW(read_page(R"({"kvs":[{}]})"), Error);
  json many;
  for (int i = 0; i < 33; ++i) many["kvs"].push_back({{"key", key("a")}});
  EXPECT_THROW(read_page(many.dump()), Error);
}

TEST(EtcdMessages, Problems) {
  const Problem lease = read_problem(
      R"({"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5})");
  EXPECT_EQ(lease.code, 5u);
  EXPECT_EQ(lease.text, "etcdserver: requested lease not found");
  const Problem stream =
      read_problem(R"({"error":{"grpc_code":14,"http_code":503,"message":"no leader"}})");
  EXPECT_EQ(stream.code, 14u);
  EXPECT_EQ(stream.text, "no leader");
  for (const char* none : {"", "<html>", "[]", R"({"code":"x"})", "{}"})
    EXPECT_EQ(read_problem(none).code, 0u) << none;
}

TEST(EtcdMessages, Tokens) {
  EXPECT_EQ(read_token(R"({"token":"abc.1"})"), "abc.1");
  EXPECT_THROW(read_token(R"({"token":""})"), Error);
  EXPECT_THROW(read_token("{\"token\":\"a\\r\\nX: y\"}"), Error);
}

}  // namespace
}  // namespace kvferry::registry::etcd
