// What every path owes, whatever carries the bytes: one suite, run for each pair of memories.
#include "contract/contract.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>
#include <thread>

#include "base/sanitized.hpp"

namespace kvferry::contract {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// What limits are to be multiplied by.
constexpr int kSlower = kSanitized ? 10 : 1;

CacheShape small_shape() { return {3, 2, 2, 64, 4, DType::bf16}; }     // 2,048-byte blocks
CacheShape odd_shape() { return {2, 2, 3, 5, 3, DType::int8}; }        // 90-byte blocks
CacheShape large_shape() { return {16, 2, 8, 128, 16, DType::bf16}; }  // 64 KiB blocks

Ids shuffled(std::uint32_t blocks, std::uint32_t count, unsigned seed) {
  Ids ids(blocks);
  std::iota(ids.begin(), ids.end(), 0u);
  std::mt19937 random(seed);
  std::shuffle(ids.begin(), ids.end(), random);
  ids.resize(count);
  return ids;
}

// The blocks of the i-th of n transfers that run at the same time: of host memory apart, since two
// that write to the same blocks at once are a mistake of whoever asks; of a GPU all of them, which
// is too fast to be met running with less.
Ids share_of(const Ids& ids, std::size_t i, std::size_t n, const Pair& pair) {
  if (pair.local.starts_with("cuda") || pair.remote.starts_with("cuda")) return ids;
  const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(i * ids.size() / n);
  return {begin, ids.begin() + static_cast<std::ptrdiff_t>((i + 1) * ids.size() / n)};
}

std::vector<pattern::BlockSpec> moved(const Ids& from, const Ids& to, std::uint64_t seed) {
  std::vector<pattern::BlockSpec> specs;
  for (std::size_t i = 0; i < to.size(); ++i)
    specs.push_back({to[i], from[i], pattern::Fill::indexed, seed});
  return specs;
}

TEST_P(Contract, PullsScatteredBlocksAndNothingElse) {
  meet(small_shape(), 64);
  const Ids from = shuffled(64, 20, 1), to = shuffled(64, 20, 2);
  const auto transfer = peer->pull(*pool, from, to);
  const auto& report = transfer.wait();
  EXPECT_EQ(report.bytes, 20u * 3 * 2048);
  EXPECT_EQ(report.blocks, 20u);
  EXPECT_EQ(report.layers, 3u);
  EXPECT_FALSE(report.path.empty());
  EXPECT_FALSE(report.method.empty());
  EXPECT_GT(report.total_s, 0);
  EXPECT_EQ(transfer.poll(), TransferState::done);
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(from, to, 0)), 0u);
}

TEST_P(Contract, PushesScatteredBlocksAndNothingElse) {
  meet(small_shape(), 64);
  const Ids remote = shuffled(64, 20, 3), local = shuffled(64, 20, 4);
  peer->push(*pool, remote, local).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u) << "a push changed the local pool";
  // Everything of theirs, pulled over everything of ours: 20 blocks are ours now, the others still
  // theirs.
  Ids all(64);
  std::iota(all.begin(), all.end(), 0u);
  peer->pull(*pool, all, all).wait();
  auto expected = moved(all, all, 0);
  for (std::size_t i = 0; i < remote.size(); ++i)
    expected[remote[i]] = {remote[i], local[i], pattern::Fill::indexed, 7};
  EXPECT_EQ(pattern::check(*pool, expected, {}).bytes, 0u);
}

TEST_P(Contract, OddSizes) {
  meet(odd_shape(), 50);
  const Ids from = shuffled(50, 33, 5), to = shuffled(50, 33, 6);
  peer->pull(*pool, from, to).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(from, to, 0)), 0u);
}

TEST_P(Contract, EmptyOneAndAll) {
  meet(small_shape(), 40);
  EXPECT_EQ(peer->pull(*pool, {}, {}).wait().bytes, 0u);
  EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u);
  peer->pull(*pool, Ids{39}, Ids{0}).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved({39}, {0}, 0)), 0u);
  Ids all(40);
  std::iota(all.begin(), all.end(), 0u);
  const auto& report = peer->pull(*pool, all, all).wait();
  EXPECT_EQ(report.blocks, 40u);
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(all, all, 0)), 0u);
}

TEST_P(Contract, PreparedIsPostedAgainAndAgain) {
  meet(small_shape(), 64);
  const Ids from = shuffled(64, 20, 1), to = shuffled(64, 20, 2);
  const auto pull = peer->prepare_pull(*pool, from, to);
  for (int i = 0; i < 3; ++i) {
    fill_whole(*pool, 7);
    const auto report = pull.post().wait();
    EXPECT_EQ(report.bytes, 20u * 3 * 2048);
    EXPECT_FALSE(report.method.empty());
    EXPECT_EQ(wrong_bytes(*pool, 7, moved(from, to, 0)), 0u);
  }
  fill_whole(*pool, 9);
  peer->prepare_push(*pool, from, to).post().wait();
  fill_whole(*pool, 7);
  pull.post().wait();
  std::vector<pattern::BlockSpec> back;
  for (const auto id : to) back.push_back({id, id, pattern::Fill::indexed, 9});
  EXPECT_EQ(wrong_bytes(*pool, 7, back), 0u);
}

TEST_P(Contract, PreparedChecksAtOnceAndIsRefusedOnceRevoked) {
  meet(small_shape(), 16, false);
  expect_error(ErrorCode::invalid_argument, "16 blocks",
               [&] { peer->prepare_pull(*pool, Ids{16}, Ids{0}); });
  expect_error(ErrorCode::refused, "writable", [&] { peer->prepare_push(*pool, Ids{1}, Ids{0}); });
  const auto pull = peer->prepare_pull(*pool, Ids{3}, Ids{5});
  pull.post().wait();
  EXPECT_EQ(server->ask("revoke 3000"), "revoked");
  fill_whole(*pool, 7);
  expect_error(ErrorCode::refused, "prepare it again", [&] { pull.post(); });
}

TEST_P(Contract, LayerRange) {
  meet(small_shape(), 16);
  TransferOptions options;
  options.layers = {1, 2};
  const auto& report = peer->pull(*pool, Ids{3, 5}, Ids{8, 1}, options).wait();
  EXPECT_EQ(report.layers, 1u);
  EXPECT_EQ(wrong_bytes(*pool, 7, moved({3, 5}, {8, 1}, 0), {1, 2}), 0u);
}

TEST_P(Contract, RefusesWhatCannotBeMeant) {
  meet(small_shape(), 16);
  const auto bad = ErrorCode::invalid_argument;
  expect_error(bad, "2", [&] { peer->pull(*pool, Ids{1, 2}, Ids{1}); });
  expect_error(bad, "16", [&] { peer->pull(*pool, Ids{16}, Ids{0}); });
  expect_error(bad, "16", [&] { peer->pull(*pool, Ids{0}, Ids{16}); });
  expect_error(bad, "5", [&] { peer->pull(*pool, Ids{1, 2}, Ids{5, 5}); });
  TransferOptions options;
  options.layers = {2, 1};
  expect_error(bad, "layer", [&] { peer->pull(*pool, Ids{1}, Ids{1}, options); });
  options = {};
  options.path = "pigeon";
  expect_error(bad, "pigeon", [&] { peer->pull(*pool, Ids{1}, Ids{1}, options); });
  options = {};
  options.remote_pool = "other";
  expect_error(ErrorCode::refused, "other", [&] { peer->pull(*pool, Ids{1}, Ids{1}, options); });
}

TEST_P(Contract, PushNeedsPermission) {
  meet(small_shape(), 16, /*writable=*/false);
  expect_error(ErrorCode::refused, "writable", [&] { peer->push(*pool, Ids{1}, Ids{1}); });
  EXPECT_EQ(server->ask("wrong 0"), "0");
  peer->pull(*pool, Ids{1}, Ids{2}).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved({1}, {2}, 0)), 0u);
}

TEST_P(Contract, ManyAtOnceBothWays) {
  meet(small_shape(), 512);
  const Ids from = shuffled(256, 256, 8), to = shuffled(256, 256, 9);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Transfer> transfers;
      // Pulls fill our lower half from theirs; pushes fill their upper half from ours.
      for (std::size_t i = t * 64; i < (t + 1) * 64; ++i) {
        const Ids a{from[i]}, b{to[i]}, up{static_cast<std::uint32_t>(256 + i)};
        transfers.push_back(peer->pull(*pool, a, b));
        transfers.push_back(peer->push(*pool, up, up));
      }
      for (const auto& transfer : transfers) transfer.wait();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(from, to, 0)), 0u);
  const Ids upper = [] {
    Ids ids(256);
    std::iota(ids.begin(), ids.end(), 256u);
    return ids;
  }();
  const Ids lower = shuffled(256, 256, 10);
  peer->pull(*pool, upper, lower).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(upper, lower, 7)), 0u);
}

TEST_P(Contract, NoticeAndCompletion) {
  meet(small_shape(), 16);
  TransferOptions options;
  options.notice = "request 42";
  options.notify_completion = true;
  options.tag = 99;
  peer->pull(*pool, Ids{1, 2}, Ids{3, 4}, options).wait();
  EXPECT_EQ(server->ask("notice"), "pull 2 12288 request 42");
  std::optional<Completion> completion;
  for (int i = 0; i < 500 && !completion; ++i) {
    completion = node->next_completion();
    if (!completion) std::this_thread::sleep_for(milliseconds(10));
  }
  ASSERT_TRUE(completion);
  EXPECT_EQ(completion->tag, 99u);
  EXPECT_EQ(completion->state, TransferState::done);
  EXPECT_FALSE(node->next_completion());
}

// Asked for while it moves, or too late: then it says so, and none comes. The end is heard of
// without anybody waiting for it.
TEST_P(Contract, CompletionAskedForLater) {
  meet(large_shape(), 128);
  const Ids from = shuffled(128, 128, 1), to = shuffled(128, 128, 2);
  for (std::uint64_t tag = 1; tag <= 20; ++tag) {
    const auto transfer = peer->pull(*pool, from, to);
    std::this_thread::sleep_for(std::chrono::microseconds(200 * (tag % 4)));
    const bool asked = transfer.notify_completion(tag);
    std::optional<Completion> completion;
    for (int i = 0; asked && i < 2000 * kSlower && !completion; ++i) {
      completion = node->next_completion();
      if (!completion) std::this_thread::sleep_for(milliseconds(1));
    }
    if (asked) {
      ASSERT_TRUE(completion);
      EXPECT_EQ(completion->tag, tag);
      EXPECT_EQ(completion->state, TransferState::done);
    }
    transfer.wait();
    EXPECT_FALSE(transfer.notify_completion(tag));
    EXPECT_FALSE(node->next_completion());
  }
}

// Whatever the race, one terminal state, and nothing lands after it.
TEST_P(Contract, CancelIsFinal) {
  meet(large_shape(), 128);
  const Ids from = shuffled(128, 128, 1), to = shuffled(128, 128, 2);
  for (int i = 0; i < 10; ++i) {
    const auto transfer = peer->pull(*pool, from, to);
    std::this_thread::sleep_for(std::chrono::microseconds(100 * i));
    transfer.cancel();
    ASSERT_TRUE(transfer.wait_for(kSlower * seconds(2)));
    const auto state = transfer.poll();
    ASSERT_TRUE(state == TransferState::cancelled || state == TransferState::done);
    if (state == TransferState::done) {
      EXPECT_EQ(wrong_bytes(*pool, 7, moved(from, to, 0)), 0u);
    } else {
      EXPECT_THROW(transfer.wait(), Error);
    }
    fill_whole(*pool, 7);
    std::this_thread::sleep_for(milliseconds(20));
    ASSERT_EQ(wrong_bytes(*pool, 7, {}), 0u) << "bytes landed after the end";
  }
}

TEST_P(Contract, DeadlineIsKept) {
  meet(large_shape(), 128);
  const Ids ids = shuffled(128, 128, 1);
  TransferOptions options;
  options.deadline = std::chrono::nanoseconds(1);
  const auto late = peer->pull(*pool, ids, ids, options);
  ASSERT_TRUE(late.wait_for(kSlower * seconds(2)));
  EXPECT_EQ(late.poll(), TransferState::deadline);
  EXPECT_EQ(wrong_bytes(*pool, 7, {}), 0u);
  options.deadline = seconds(30);
  peer->pull(*pool, ids, ids, options).wait();
  EXPECT_EQ(wrong_bytes(*pool, 7, moved(ids, ids, 0)), 0u);
}

TEST_P(Contract, RevokedPoolsAreRefused) {
  meet(small_shape(), 16);
  peer->pull(*pool, Ids{1}, Ids{1}).wait();
  EXPECT_EQ(server->ask("revoke 3000"), "revoked");
  fill_whole(*pool, 7);
  expect_error(ErrorCode::refused, "revoked", [&] { peer->pull(*pool, Ids{1}, Ids{1}); });
}

TEST_P(Contract, RevokeWaitsForRunningTransfers) {
  meet(large_shape(), 128);
  const Ids ids = shuffled(128, 128, 3);
  peer->prepare(*pool);
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < 8; ++i) {
    const Ids part = share_of(ids, i, 8, GetParam());
    transfers.push_back(peer->pull(*pool, part, part));
  }
  EXPECT_EQ(server->ask("revoke " + std::to_string(5000 * kSlower)), "revoked");
  for (const auto& transfer : transfers) EXPECT_NE(transfer.poll(), TransferState::running);
}

TEST_P(Contract, DeadPeerEndsTransfers) {
  meet(large_shape(), 128);
  const Ids ids = shuffled(128, 128, 4);
  peer->prepare(*pool);
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < 16; ++i) {
    const Ids part = share_of(ids, i, 16, GetParam());
    transfers.push_back(peer->pull(*pool, part, part));
  }
  server->kill_now();
  const auto killed = steady_clock::now();
  for (const auto& transfer : transfers) ASSERT_TRUE(transfer.wait_for(kSlower * seconds(2)));
  while (peer->alive() && steady_clock::now() - killed < kSlower * seconds(2))
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_FALSE(peer->alive());
  fill_whole(*pool, 7);
  expect_error(ErrorCode::unreachable, "", [&] { peer->pull(*pool, ids, ids); });
}

TEST_P(Contract, ExplainNamesThePath) {
  meet(small_shape(), 16);
  const auto pairs = peer->explain();
  ASSERT_EQ(pairs.size(), 1u);
  const auto taken = peer->pull(*pool, Ids{1}, Ids{1}).wait().path;
  if (GetParam().path != "auto") {
    EXPECT_EQ(taken, GetParam().path);
    EXPECT_NE(pairs[0].chosen, taken) << "on one host there is something faster";
  } else {
    EXPECT_EQ(pairs[0].chosen, taken);
  }
  for (const auto& verdict : pairs[0].verdicts) EXPECT_FALSE(verdict.reason.empty());
}

}  // namespace
}  // namespace kvferry::contract

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--server")
    return kvferry::contract::run_server(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
