#include "network_options.hpp"

#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

TEST(Rate, AsPeopleWriteIt) {
  EXPECT_EQ(parse_rate("900000"), 900'000u);
  EXPECT_EQ(parse_rate("500M"), 500'000'000u);
  EXPECT_EQ(parse_rate("1.5G"), 1'500'000'000u);
  EXPECT_EQ(parse_rate("2GB/s"), 2'000'000'000u);
  EXPECT_EQ(parse_rate("64K"), 64'000u);
  for (const char* bad : {"", "G", "-1G", "1T", "1 G", "nan", "1e9", "10", "99999G", "1Gbit"})
    EXPECT_THROW(parse_rate(bad), Error) << bad;
}

TEST(NetworkOptions, AServerLimitsAllAClientEachTransfer) {
  NetworkCommandOptions options;
  options.rate = "1G";
  options.streams = 3;
  options.checksum = true;
  EXPECT_EQ(network_of(options, true).bytes_per_s, 1'000'000'000u);
  EXPECT_EQ(network_of(options, false).bytes_per_s, 0u);
  TransferOptions transfer;
  apply(options, transfer);
  EXPECT_EQ(transfer.bytes_per_s, 1'000'000'000u);
  EXPECT_EQ(transfer.streams, 0u);
  EXPECT_EQ(network_of(options, false).streams, 3u);
  EXPECT_TRUE(transfer.checksum);
}

}  // namespace
}  // namespace kvferry::cli
