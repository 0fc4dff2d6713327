// What doctor says of the network: read from a made-up system, and judged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "doctor/judge.hpp"
#include "doctor/probes.hpp"

namespace kvferry::cli::doctor {
namespace {

using testing::HasSubstr;

class NetworkProbe : public ::testing::Test {
 protected:
  NetworkProbe() {
    char pattern[] = "/tmp/kvferry-network-XXXXXX";
    root = ::mkdtemp(pattern);
  }
  ~NetworkProbe() override { std::filesystem::remove_all(root); }
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  std::string root;
};

TEST_F(NetworkProbe, ReadsTheSystem) {
  put("/proc/sys/net/ipv4/tcp_congestion_control", "bbr\n");
  put("/proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic bbr\n");
  put("/proc/net/route",
      "Iface Destination Gateway Flags\n"
      "fast0 0000000A 00000000 0001\n"
      "fast0 00000000 0100000A 0003\n");
  put("/sys/class/net/lo/mtu", "65536\n");
  put("/sys/class/net/fast0/mtu", "1500\n");
  put("/sys/class/net/fast0/speed", "100000\n");
  put("/sys/class/net/fast0/operstate", "up\n");
  put("/sys/class/net/veth1/mtu", "9000\n");
  put("/sys/class/net/veth1/speed", "-1\n");
  put("/sys/class/net/veth1/operstate", "down\n");
  put("/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
  put("/sys/class/infiniband/mlx5_0/ports/1/rate", "400 Gb/sec (4X NDR)\n");
  put("/sys/class/infiniband/mlx5_1/ports/1/state", "1: DOWN\n");
  const NetworkFacts facts = probe_network(root);
  EXPECT_THAT(facts.tls, HasSubstr("OpenSSL 3"));
  EXPECT_EQ(facts.congestion, "bbr");
  EXPECT_EQ(facts.congestion_available, (std::vector<std::string>{"reno", "cubic", "bbr"}));
  EXPECT_EQ(facts.default_route, "fast0 via 10.0.0.1");
  ASSERT_EQ(facts.nics.size(), 2u);
  EXPECT_EQ(facts.nics[0].mbit_per_s, 100'000u);
  EXPECT_TRUE(facts.nics[0].up);
  EXPECT_EQ(facts.nics[1].mbit_per_s, std::nullopt);

  const auto checks = judge_network(facts);
  ASSERT_EQ(checks.size(), 8u);
  EXPECT_EQ(checks[1].state, State::note);
  EXPECT_THAT(checks[1].value, HasSubstr("bbr (available: reno, cubic, bbr)"));
  EXPECT_EQ(checks[2].value, "up, MTU 1500, 100 Gbit/s");
  EXPECT_THAT(checks[2].advice, HasSubstr("ip link set dev fast0 mtu 9000"));
  EXPECT_EQ(checks[3].value, "down, MTU 9000");
  EXPECT_EQ(checks[3].state, State::ok);
  EXPECT_EQ(checks[5].name, "mlx5_0");
  EXPECT_EQ(checks[5].value, "RDMA, ACTIVE, 400 Gb/sec (4X NDR)");
  EXPECT_EQ(checks[6].state, State::note);
  EXPECT_THAT(checks[6].advice, HasSubstr("ibv_devinfo -d mlx5_1"));
}

TEST(DoctorRdma, ACardWithoutUcxIsAFindingAndOneWithItAPath) {
  Facts facts;
  facts.host.network.rdma.cards = {{"mlx5_0", "ACTIVE", ""}};
  facts.host.network.rdma.library_missing = "libucp.so.0 is not there";
  Check check = judge_network(facts.host.network).back();
  EXPECT_EQ(check.state, State::warning);
  EXPECT_THAT(check.advice, HasSubstr("libucx0"));
  EXPECT_FALSE(judge_network_paths(facts)[1].usable);
  facts.host.network.rdma.library = "UCX 1.13.1";
  check = judge_network(facts.host.network).back();
  EXPECT_EQ(check.state, State::ok);
  EXPECT_TRUE(judge_network_paths(facts)[1].usable);
  facts.host.network.rdma.cards[0].state = "DOWN";
  EXPECT_FALSE(judge_network_paths(facts)[1].usable);
}

TEST_F(NetworkProbe, ASystemThatSaysNothingIsNoFinding) {
  const auto checks = judge_network(probe_network(root));
  for (const Check& check : checks) EXPECT_FALSE(is_finding(check)) << check.name;
  EXPECT_EQ(checks[1].value, "not readable");
  EXPECT_EQ(checks[2].value, "none but loopback");
  EXPECT_EQ(checks[3].value, "none");
}

}  // namespace
}  // namespace kvferry::cli::doctor
