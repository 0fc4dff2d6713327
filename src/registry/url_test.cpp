#include "registry/url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string problem_of(const std::string& text) {
  try {
    parse_url(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "none";
}

TEST(RegistryUrl, MembersAndTheirPorts) {
  EXPECT_THAT(parse_url("etcd://a").members, ElementsAre("a:2379"));
  EXPECT_THAT(parse_url("etcd://a:1,b,[::1],[fe::2]:3/").members,
              ElementsAre("a:1", "b:2379", "[::1]:2379", "[fe::2]:3"));
  EXPECT_FALSE(parse_url("etcd://a").tls);
  EXPECT_TRUE(parse_url("etcds://a").tls);
}

TEST(RegistryUrl, UserAndPassword) {
  const Url url = parse_url("etcd://me%40home:p%3a%2Fw@a:1,b:2");
  EXPECT_EQ(url.user, "me@home");
  EXPECT_EQ(url.password, "p:/w");
  EXPECT_EQ(url.shown, "etcd://me@home@a:1,b:2");
}

TEST(RegistryUrl, AMistakeNeverShowsThePassword) {
  for (const char* text :
       {"etcd://me:secret@", "etcd://me:secret@a/b", "etcd://:secret@a", "etcd://me:secret%zz@a",
        "http://me:secret@a", "etcd://secret@a", "etcd://me:secret%0@a", "etcd://me:secret@a:0"})
    EXPECT_THAT(problem_of(text), Not(HasSubstr("secret"))) << text;
}

TEST(RegistryUrl, Mistakes) {
  EXPECT_THAT(problem_of(""), HasSubstr("begins with neither"));
  EXPECT_THAT(problem_of("127.0.0.1:2379"), HasSubstr("begins with neither"));
  EXPECT_THAT(problem_of("etcd://"), HasSubstr("host is empty"));
  EXPECT_THAT(problem_of("etcd://a,,b"), HasSubstr("host is empty"));
  EXPECT_THAT(problem_of("etcd://a:b"), HasSubstr("port"));
  EXPECT_THAT(problem_of("etcd://a:1/path"), HasSubstr("no port"));
  EXPECT_THAT(problem_of("etcd://a?b"), HasSubstr("no port"));
  EXPECT_THAT(problem_of("etcd://a\n"), Not(HasSubstr("\n")));
  std::string many = "etcd://a";
  for (int i = 0; i < 16; ++i) many += ",a";
  EXPECT_THAT(problem_of(many), HasSubstr("more than 16"));
}

}  // namespace
}  // namespace kvferry::registry
