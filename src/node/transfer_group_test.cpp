#include "kvferry/transfer_group.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>

#include "kvferry/kvferry.hpp"

namespace kvferry {
namespace {

using Ids = std::vector<std::uint32_t>;
constexpr std::uint32_t kBlocks = 512;

CacheShape small() { return {4, 2, 8, 128, 16, DType::bf16}; }  // blocks of 64 KiB

// A server in this process, each of its bytes `fill`.
struct Server {
  explicit Server(unsigned char fill) {
    char pattern[] = "/tmp/kvferry-group-test-XXXXXX";
    directory = ::mkdtemp(pattern);
    PoolOptions options;
    options.tag = std::to_string(fill);
    pool.emplace(Pool::allocate(Device::host(), small(), kBlocks, options));
    for (std::uint32_t layer = 0; layer < small().layers; ++layer)
      std::memset(pool->layer(layer), fill, small().block_bytes() * kBlocks);
    node.emplace();
    node->add(*pool);
    ListenOptions listen;
    listen.tcp = false;
    listen.socket_path = directory + "/s";
    node->listen(listen);
  }
  ~Server() {
    node.reset();
    std::filesystem::remove_all(directory);
  }
  std::string address() const { return "unix:" + directory + "/s"; }

  std::string directory;
  std::optional<Pool> pool;
  std::optional<Node> node;
};

class Group : public ::testing::Test {
 protected:
  Group() {
    client.add(local);
    for (Server& server : servers) peers.push_back(client.connect(server.address()));
  }
  static Ids range(std::uint32_t begin, std::uint32_t end) {
    Ids ids(end - begin);
    std::iota(ids.begin(), ids.end(), begin);
    return ids;
  }
  unsigned char first_byte(std::uint32_t block) const {
    return static_cast<const unsigned char*>(local.layer(3))[block * small().block_bytes()];
  }

  Server servers[3] = {Server(1), Server(2), Server(3)};
  Pool local = Pool::allocate(Device::host(), small(), kBlocks);
  Node client;
  std::vector<Peer> peers;
};

TEST_F(Group, GathersFromThreePeers) {
  TransferGroup group;
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Ids ids = range(i * 100, i * 100 + 50);
    group.add(peers[i].pull(local, ids, ids));
  }
  group.wait();
  EXPECT_EQ(group.poll(), TransferState::done);
  EXPECT_FALSE(group.first_failed());
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(first_byte(i * 100 + 49), i + 1);
  const TransferReport report = group.report();
  EXPECT_EQ(report.blocks, 150u);
  EXPECT_EQ(report.layers, 4u);
  EXPECT_EQ(report.bytes, 150 * 4 * small().block_bytes());
  EXPECT_EQ(report.path, group.parts()[0].report().path);
  for (const Transfer& part : group.parts()) EXPECT_GE(report.total_s, part.report().total_s);
}

TEST_F(Group, OneThatFailsCancelsTheOthers) {
  const Ids all = range(0, kBlocks);
  TransferOptions doomed;
  doomed.deadline = std::chrono::nanoseconds(1);
  TransferGroup group;
  group.add(peers[0].pull(local, all, all));
  group.add(peers[1].pull(local, all, all, doomed));
  EXPECT_THROW(
      {
        try {
          group.wait();
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::deadline);
          throw;
        }
      },
      Error);
  EXPECT_EQ(group.poll(), TransferState::deadline);
  EXPECT_EQ(group.first_failed(), 1u);
  EXPECT_NE(group.parts()[0].poll(), TransferState::running);
}

TEST_F(Group, CancelsAll) {
  const Ids all = range(0, kBlocks);
  TransferGroup group;
  for (const Peer& peer : peers) group.add(peer.pull(local, all, all));
  group.cancel();
  EXPECT_TRUE(group.wait_for(std::chrono::seconds(10)));
  for (const Transfer& part : group.parts()) EXPECT_NE(part.poll(), TransferState::running);
}

TEST(EmptyGroup, IsDone) {
  TransferGroup group;
  EXPECT_EQ(group.poll(), TransferState::done);
  group.wait();
  EXPECT_EQ(group.report().bytes, 0u);
}

}  // namespace
}  // namespace kvferry
