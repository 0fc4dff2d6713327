#include "servers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

using testing::HasSubstr;

std::string problem_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "none";
}

TEST(Servers, what_holds_a_colon_is_an_address) {
  const auto servers = parse_servers("prefill-0,10.0.0.1:5555,[::1]:1,unix:/a/b");
  ASSERT_EQ(servers.size(), 4u);
  EXPECT_EQ(servers[0].text, "prefill-0");
  EXPECT_FALSE(servers[0].is_address);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_TRUE(servers[i].is_address) << servers[i].text;
}

TEST(Servers, mistakes_are_named) {
  const auto problem = [](const std::string& text) {
    return problem_of([&] { parse_servers(text); });
  };
  EXPECT_THAT(problem(""), HasSubstr("empty"));
  EXPECT_THAT(problem("a,"), HasSubstr("empty"));
  EXPECT_THAT(problem("a,b,a"), HasSubstr("twice"));
  EXPECT_THAT(problem("a b"), HasSubstr("neither a name"));
  EXPECT_THAT(problem("host:0"), HasSubstr("port"));
  std::string many = "s";
  for (int i = 0; i < 64; ++i) many += ",s" + std::to_string(i);
  EXPECT_THAT(problem(many), HasSubstr("at most 64"));
}

TEST(Servers, a_name_needs_a_registry) {
  EndpointOptions endpoint;
  endpoint.servers = "10.0.0.1:1,prefill-0";
  EXPECT_THAT(problem_of([&] { chosen_servers(endpoint); }), HasSubstr("prefill-0"));
  endpoint.registry.url = "etcd://a";
  EXPECT_EQ(chosen_servers(endpoint).size(), 2u);
  endpoint.servers.clear();
  ASSERT_EQ(chosen_servers(endpoint).size(), 1u);
  EXPECT_EQ(chosen_servers(endpoint)[0].text, "127.0.0.1:5555");
  EXPECT_TRUE(chosen_servers(endpoint)[0].is_address);
}

TEST(Servers, shares_are_nearly_equal_and_complete) {
  for (std::size_t servers = 1; servers <= 64; ++servers) {
    for (const std::size_t blocks : {servers, servers + 1, 3 * servers - 1, std::size_t{1638}}) {
      std::size_t at = 0;
      for (std::size_t i = 0; i < servers; ++i) {
        const Share share = share_of(i, servers, blocks);
        EXPECT_EQ(share.begin, at);
        EXPECT_GE(share.end - share.begin, blocks / servers);
        EXPECT_LE(share.end - share.begin, blocks / servers + 1);
        at = share.end;
      }
      EXPECT_EQ(at, blocks);
    }
  }
  // As the help says.
  EXPECT_EQ(share_of(0, 3, 10).end, 3u);
  EXPECT_EQ(share_of(1, 3, 10).end, 6u);
}

}  // namespace
}  // namespace kvferry::cli
