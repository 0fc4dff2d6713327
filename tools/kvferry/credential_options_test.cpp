#include "credential_options.hpp"

#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

TEST(Permit, NamesRightsAndPools) {
  const Permission reader = parse_permission("reader=read");
  EXPECT_EQ(reader.credential, "reader");
  EXPECT_TRUE(reader.read);
  EXPECT_FALSE(reader.write);
  EXPECT_TRUE(reader.pools.empty());
  const Permission loader = parse_permission("loader=read,write:kv,kv2");
  EXPECT_TRUE(loader.read && loader.write);
  EXPECT_EQ(loader.pools, (std::vector<std::string>{"kv", "kv2"}));
  EXPECT_FALSE(parse_permission("*=write").read);
}

TEST(Permit, WhatIsNoneIsRefused) {
  for (const char* text : {"", "reader", "=read", "reader=", "reader=all", "reader=read,",
                           "reader=read:", "reader=read:kv,"})
    EXPECT_THROW(parse_permission(text), Error) << text;
  EXPECT_THROW(parse_permissions({"a=read", "b=read", "a=write"}), Error);
}

}  // namespace
}  // namespace kvferry::cli
