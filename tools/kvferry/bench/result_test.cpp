#include "bench/result.hpp"

#include <gtest/gtest.h>

#include <set>

#include "bench/sample_result.hpp"

namespace kvferry::cli::bench {
namespace {

Work plain() {
  Work work;
  work.path = "cuda_ipc";
  work.link = "nvlink";
  work.from = "cuda:1";
  work.to = "cuda:0";
  work.direction = "pull";
  work.order = "scattered";
  work.copy = "auto";
  work.block_bytes = 65'536;
  work.blocks = 64;
  work.layers = 40;
  return work;
}

TEST(WorkKey, OfAnOrdinaryWork) {
  EXPECT_EQ(plain().key(), "throughput/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40");
  Work host = plain();
  host.path = "host_shm";
  host.link = host.from = host.to = "host";
  EXPECT_EQ(host.key(), "throughput/host/host-host/pull/scattered/auto/65536x64x40");
}

TEST(WorkKey, NamesWhatIsOutOfTheOrdinary) {
  Work work = plain();
  work.group = Group::clients;
  work.path = "tcp";
  work.layout = "padded";
  work.max_sms = 16;
  work.servers = 2;
  work.clients = 64;
  work.processes = 8;
  EXPECT_EQ(work.key(),
            "clients/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40"
            "/tcp/padded/16sms/2servers/64clients/8processes");
}

TEST(WorkKey, OverNetworks) {
  Work work = plain();
  work.group = Group::tcp;
  work.link = "loopback";
  work.path = "tcp";
  work.streams = 2;
  work.wire = "plain";
  const std::string key = "tcp/loopback/cuda:1-cuda:0/pull/scattered/auto/65536x64x40";
  EXPECT_EQ(work.key(), key + "/2streams");
  work.wire = "tls";
  EXPECT_EQ(work.key(), key + "/2streams/tls");
  work.wire = "plain";
  work.path = "iperf3";
  EXPECT_EQ(work.key(), key + "/iperf3/2streams");
  work.group = Group::ucx;
  work.path = "ucx";
  work.streams = 0;
  work.wire.clear();
  EXPECT_EQ(work.key(), "ucx" + key.substr(3));
}

TEST(WorkKey, OneBlockOverANetworkIsSmall) {
  Work work = plain();
  EXPECT_FALSE(work.small());
  work.group = Group::latency;
  EXPECT_TRUE(work.small());
  for (const Group group : {Group::tcp, Group::ucx}) {
    work.group = group;
    work.blocks = 64;
    EXPECT_FALSE(work.small());
    work.blocks = 1;
    EXPECT_TRUE(work.small());
  }
}

TEST(WorkKey, TellsApartWhateverIsMeasured) {
  std::set<std::string> keys;
  const Result sample = sample_result();
  for (const Figure& figure : sample.figures) keys.insert(figure.work.key());
  EXPECT_EQ(keys.size(), sample.figures.size());
}

}  // namespace
}  // namespace kvferry::cli::bench
