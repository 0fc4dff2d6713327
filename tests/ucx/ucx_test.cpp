// Path ucx where things go wrong. No RDMA card is at hand: everything here runs over UCX's own
// emulation over TCP, which takes the same calls.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "contract/server_process.hpp"
#include "hostile/raw_peer.hpp"
#include "kvferry/kvferry.hpp"

namespace kvferry::contract {
namespace {

using Ids = std::vector<std::uint32_t>;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr std::uint32_t kBlocks = 256;
CacheShape large_shape() { return {16, 2, 8, 128, 16, DType::bf16}; }  // 64 KiB blocks; 256 MiB

Ids all_shuffled(unsigned seed) {
  Ids ids(kBlocks);
  std::iota(ids.begin(), ids.end(), 0u);
  std::mt19937 random(seed);
  std::shuffle(ids.begin(), ids.end(), random);
  return ids;
}

std::size_t open_fds() {
  std::size_t count = 0;
  DIR* fds = ::opendir("/proc/self/fd");
  while (::readdir(fds) != nullptr) ++count;
  ::closedir(fds);
  return count;
}

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds_of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

class UcxOverTcp : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = why_no_ucx("tcp")) GTEST_SKIP() << *why;
  }

  // Ours holds seed 7, theirs seed 0.
  void meet(const std::string& ours = "tcp", const std::string& theirs = "tcp") {
    const PoolSpec spec{"host", large_shape(), kBlocks, true};
    server.emplace(spec, ServerProcess::Reach::unix_socket, theirs);
    if (!pool) pool.emplace(make_pool(spec));
    fill_whole(*pool, 7);
    NodeOptions options;
    options.ucx.transports = ours;
    node.emplace(options);
    node->add(*pool);
    peer.emplace(node->connect(server->address()));
  }
  static TransferOptions by_ucx(std::optional<milliseconds> deadline = {}) {
    TransferOptions options;
    options.path = "ucx";
    options.deadline = deadline;
    return options;
  }
  void expect_whole_pull() {
    const Ids ids = all_shuffled(3);
    peer->pull(*pool, ids, ids, by_ucx()).wait();
    EXPECT_EQ(wrong_bytes(*pool, 0, {}), 0u);
  }
  std::string refusal() {
    try {
      peer->pull(*pool, Ids{1}, Ids{1}, by_ucx()).wait();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::refused) << error.what();
      return error.what();
    }
    return "it was not refused";
  }

  std::optional<ServerProcess> server;
  std::optional<Pool> pool;
  std::optional<Node> node;
  std::optional<Peer> peer;
};

TEST_F(UcxOverTcp, TransportsBeyondRdmaAreRefusedUnlessNamedHere) {
  meet("", "tcp");
  EXPECT_THAT(refusal(), HasSubstr("--ucx-transports"));
}

TEST_F(UcxOverTcp, AndUnlessNamedByTheOwner) {
  meet("tcp", "");
  EXPECT_THAT(refusal(), HasSubstr("--ucx-transports"));
}

TEST_F(UcxOverTcp, WhoAsksOnAndOnIsCutOff) {
  const PoolSpec spec{"host", large_shape(), 8, true};
  server.emplace(spec, ServerProcess::Reach::unix_socket, "tcp");
  const auto asks = [&](std::uint32_t questions) {
    const auto asker = hostile::RawPeer::over_unix(server->address().substr(std::strlen("unix:")));
    EXPECT_TRUE(asker.is_let_in());
    std::vector<std::byte> all;
    for (std::uint32_t i = 1; i <= questions; ++i) {
      const auto frame = wire::encode(wire::AskUcx{i});
      all.insert(all.end(), frame.begin(), frame.end());
    }
    asker.send(all);
    std::uint32_t answers = 0;
    while (answers < questions && asker.hear_of<wire::UcxAddress>()) ++answers;
    return answers;
  };
  // UCX takes a while to begin; the first of all these answers comes after the last question.
  EXPECT_LT(asks(1000), 1000u);
  EXPECT_EQ(asks(10), 10u);
}

// Its endpoints report no failure of a peer: a transfer might never end.
TEST_F(UcxOverTcp, SharedMemoryAloneIsRefused) {
  meet("shm", "shm");
  EXPECT_THAT(refusal(), HasSubstr("notices when it fails"));
}

TEST_F(UcxOverTcp, UnknownTransportsAreNamed) {
  meet("pigeon", "tcp");
  EXPECT_THAT(refusal(), HasSubstr("pigeon"));
}

TEST_F(UcxOverTcp, ExplainSaysWhatCarriesAndThatItIsSoftware) {
  meet();
  const auto pairs = peer->explain();
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].chosen, "host_shm");
  bool found = false;
  for (const auto& verdict : pairs[0].verdicts) {
    if (verdict.path != "ucx") continue;
    found = true;
    EXPECT_TRUE(verdict.usable);
    EXPECT_TRUE(verdict.slow);
    EXPECT_THAT(verdict.reason, HasSubstr("tcp/"));
    EXPECT_THAT(verdict.reason, HasSubstr("in software"));
  }
  EXPECT_TRUE(found);
  EXPECT_THAT(peer->pull(*pool, Ids{1}, Ids{1}, by_ucx()).wait().method, HasSubstr("get by tcp/"));
}

TEST_F(UcxOverTcp, PullFromAStoppedOwnerEndsByItsDeadlineAndNothingLandsAfter) {
  meet();
  peer->prepare(*pool, by_ucx());
  const Ids ids = all_shuffled(1);
  for (int round = 0; round < 3; ++round) {
    fill_whole(*pool, 7);
    // Stopped before it began, at once, and in the middle.
    if (round == 0) server->stop();
    const auto posted = steady_clock::now();
    const auto transfer = peer->pull(*pool, ids, ids, by_ucx(milliseconds(200)));
    if (round == 2) std::this_thread::sleep_for(milliseconds(10));
    server->stop();
    ASSERT_TRUE(transfer.wait_for(seconds(5)));
    // Round 2 may have been quick enough.
    EXPECT_TRUE(transfer.poll() == TransferState::deadline ||
                transfer.poll() == TransferState::done);
    EXPECT_LT(steady_clock::now() - posted, seconds(2));
    fill_whole(*pool, 7);
    server->go_on();
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u) << "bytes landed after the end";
  }
  expect_whole_pull();
}

TEST_F(UcxOverTcp, CancelOfAPullFromAStoppedOwnerEndsSoon) {
  meet();
  peer->prepare(*pool, by_ucx());
  server->stop();
  const Ids ids = all_shuffled(1);
  const auto transfer = peer->pull(*pool, ids, ids, by_ucx());
  std::this_thread::sleep_for(milliseconds(20));
  const auto asked = steady_clock::now();
  transfer.cancel();
  ASSERT_TRUE(transfer.wait_for(seconds(5)));
  EXPECT_EQ(transfer.poll(), TransferState::cancelled);
  EXPECT_LT(steady_clock::now() - asked, seconds(2));
  server->go_on();
  fill_whole(*pool, 7);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u);
  expect_whole_pull();
}

// Nobody can call back what the networks hold: the transfer says so.
TEST_F(UcxOverTcp, PushToAStoppedOwnerEndsByItsDeadlineAndSaysWhatItCannotPromise) {
  meet();
  peer->prepare(*pool, by_ucx());
  server->stop();
  const Ids ids = all_shuffled(1);
  const auto transfer = peer->push(*pool, ids, ids, by_ucx(milliseconds(200)));
  ASSERT_TRUE(transfer.wait_for(seconds(5)));
  EXPECT_EQ(transfer.poll(), TransferState::deadline);
  EXPECT_THAT(transfer.error(), HasSubstr("may yet land"));
  EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u);
  server->go_on();
  peer->push(*pool, ids, ids, by_ucx()).wait();
  EXPECT_EQ(server->ask("wrong 7"), "0");
}

TEST_F(UcxOverTcp, CancelledPushesHaveLandedWholeOrNotAtAllOnceTheyHaveEnded) {
  meet();
  peer->prepare(*pool, by_ucx());
  const Ids ids = all_shuffled(1);
  for (int round = 0; round < 5; ++round) {
    const auto transfer = peer->push(*pool, ids, ids, by_ucx());
    std::this_thread::sleep_for(milliseconds(5 * round));
    transfer.cancel();
    ASSERT_TRUE(transfer.wait_for(seconds(10)));
    const auto wrong = server->ask("wrong 7");
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(server->ask("wrong 7"), wrong) << "bytes landed after the end";
    if (transfer.poll() == TransferState::done) {
      EXPECT_EQ(wrong, "0");
    }
  }
}

// Each once or more: before the first byte, in the middle, near the end.
TEST_F(UcxOverTcp, OwnersKilledAtAnyMomentEndEveryTransferOnce) {
  std::mt19937 random(42);
  for (int round = 0; round < 12; ++round) {
    meet();
    peer->prepare(*pool, by_ucx());
    const Ids ids = all_shuffled(1);
    std::vector<Transfer> transfers;
    for (int i = 0; i < 3; ++i)
      transfers.push_back(i == 1 ? peer->push(*pool, ids, ids, by_ucx())
                                 : peer->pull(*pool, ids, ids, by_ucx()));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 100'000));
    server->kill_now();
    for (const auto& transfer : transfers) {
      ASSERT_TRUE(transfer.wait_for(seconds(5)));
      const auto state = transfer.poll();
      EXPECT_TRUE(state == TransferState::peer_died || state == TransferState::done)
          << to_string(state) << ": " << transfer.error();
    }
    fill_whole(*pool, 7);
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u) << "bytes landed after the end";
    peer.reset();
    node.reset();
    server.reset();
  }
}

TEST_F(UcxOverTcp, RevokingALocalPoolEndsItsRoutesAndANewOneRegistersItAnew) {
  meet();
  expect_whole_pull();
  pool->revoke(seconds(3));
  fill_whole(*pool, 7);
  expect_whole_pull();
}

TEST_F(UcxOverTcp, SleepsWhenIdleOnBothSides) {
  meet();
  expect_whole_pull();
  const double before = cpu_seconds();
  std::this_thread::sleep_for(seconds(1));
  EXPECT_LT(cpu_seconds() - before, 0.1);
}

TEST_F(UcxOverTcp, NodesLeaveNothingOpen) {
  std::size_t fds = 0;
  for (int round = 0; round < 4; ++round) {
    meet();
    expect_whole_pull();
    peer.reset();
    node.reset();
    server.reset();
    if (round == 0) fds = open_fds();
  }
  EXPECT_LE(open_fds(), fds);
}

}  // namespace
}  // namespace kvferry::contract

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--server")
    return kvferry::contract::run_server(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
