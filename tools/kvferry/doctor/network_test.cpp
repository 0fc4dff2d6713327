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
  ASSERT_EQ(checks.size(), 5u);
  EXPECT_EQ(checks[1].state, State::note);
  EXPECT_THAT(checks[1].value, HasSubstr("bbr (available: reno, cubic, bbr)"));
  EXPECT_EQ(checks[2].value, "up, MTU 1500, 100 Gbit/s");
  EXPECT_THAT(checks[2].advice, HasSubstr("ip link set dev fast0 mtu 9000"));
  EXPECT_EQ(checks[3].value, "down, MTU 9000");
  EXPECT_EQ(checks[3].state, State::ok);
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
