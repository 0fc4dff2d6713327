#include "path/ucx/transports.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvferry::path::ucx {
namespace {

using ::testing::ElementsAre;

// As UCX 1.13.1 prints it.
constexpr std::string_view kTcp = R"(#
# UCP endpoint 
#
#               peer: <no debug data>
#                 lane[0]:  1:tcp/lo.0 md[1]                -> md[1]/tcp/sysdev[255] am am_bw#0 keepalive wireup
#
#                tag_send: 0..<egr/short>..8185..<egr/zcopy>..20553..<rndv>..(inf)
#
)";
// What such lines are expected to be; no such card is at hand.
constexpr std::string_view kRc =
    R"(#                 lane[0]:  4:rc_mlx5/mlx5_0:1.0 md[3]  -> md[3]/ib/sysdev[0] rma#0 am am_bw#0
#                 lane[1]:  9:rc_mlx5/mlx5_1:1.0 md[4]  -> md[4]/ib/sysdev[1] rma_bw#1
#                 lane[2]:  6:ud_mlx5/mlx5_0:1.0 md[3]  -> md[3]/ib/sysdev[0] wireup
)";

TEST(Transports, TcpIsSoftware) {
  const auto lanes = parse_lanes(kTcp);
  EXPECT_THAT(lanes, ElementsAre(Lane{"tcp", "lo", false}));
  EXPECT_FALSE(carriage_of(lanes).rdma);
  EXPECT_EQ(carriage_of(lanes).text, "tcp/lo, in software");
}

TEST(Transports, ReliableConnectionsAreRdma) {
  const auto lanes = parse_lanes(kRc);
  EXPECT_THAT(lanes,
              ElementsAre(Lane{"rc_mlx5", "mlx5_0:1", true}, Lane{"rc_mlx5", "mlx5_1:1", false},
                          Lane{"ud_mlx5", "mlx5_0:1", false}));
  EXPECT_TRUE(carriage_of(lanes).rdma);
  EXPECT_EQ(carriage_of(lanes).text, "rc_mlx5/mlx5_0:1");
}

TEST(Transports, OneSidedIsNotYetRdma) {
  const auto shared = carriage_of({{"posix", "memory", true}});
  EXPECT_FALSE(shared.rdma);
  EXPECT_EQ(shared.text, "posix/memory");
  // Datagrams alone: UCX copies.
  const auto datagrams = carriage_of({{"ud_mlx5", "mlx5_0:1", false}});
  EXPECT_FALSE(datagrams.rdma);
  EXPECT_EQ(datagrams.text, "ud_mlx5/mlx5_0:1, in software");
  EXPECT_FALSE(carriage_of({{"rcx", "mlx5_0:1", true}}).rdma);
}

TEST(Transports, WhatIsNotUnderstoodIsLeftOut) {
  EXPECT_TRUE(parse_lanes("").empty());
  EXPECT_TRUE(parse_lanes("# lane\n# lane[0]\n# lane[1]:\n# lane[2]: 7:\n").empty());
  EXPECT_THAT(parse_lanes("lane[0]: 0:tcp/eth0.100.0 rma#0"),
              ElementsAre(Lane{"tcp", "eth0.100", true}));
  EXPECT_EQ(carriage_of({}).text, "no transport that it names, in software");
  EXPECT_FALSE(carriage_of({}).rdma);
}

}  // namespace
}  // namespace kvferry::path::ucx
