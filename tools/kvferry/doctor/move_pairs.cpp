#include <fmt/format.h>

#include <chrono>
#include <vector>

#include "doctor/facts_json.hpp"
#include "doctor/job.hpp"
#include "doctor/test_pool.hpp"
#include "kvferry/error.hpp"
#include "kvferry/node.hpp"
#include "pattern/pattern.hpp"
#include "pattern_work.hpp"

namespace kvferry::cli::doctor {
namespace {

using pattern::BlockSpec;
using pattern::Fill;
using Ids = std::vector<std::uint32_t>;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kMoved = 24;  // blocks a transfer
// Pulls read the lower half of the owner's blocks and pushes write the upper one, so that every
// process after the first still finds what it expects.
constexpr std::uint32_t kHalf = kBlocks / 2;
// Fills of the local pool: before the pull, before the push, before the pushed blocks come back.
constexpr std::uint64_t kBeforePull = 2, kPushed = 3, kBeforeReturn = 4;

// `count` ids out of `range` (a power of two) from `first` on, none twice and no two neighbours in
// order: an odd stride meets every one.
Ids scattered(std::uint32_t first, std::uint32_t range, std::uint32_t stride) {
  Ids ids;
  for (std::uint32_t i = 0; i < kMoved; ++i) ids.push_back(first + (5 + i * stride) % range);
  return ids;
}

void refill(const Pool& pool, std::uint64_t seed) {
  pattern::fill(pool, whole_pool(kBlocks, Fill::indexed, seed), {});
}

// One process's half of a pair.
class Pair {
 public:
  Pair(const Pool& local, Peer peer, TransferOptions options, PairFact& fact)
      : local_(local), peer_(std::move(peer)), options_(std::move(options)), fact_(fact) {}

  void run() {
    peer_.prepare(local_, options_);
    pull();
    push();
  }

 private:
  void pull() {
    refill(local_, kBeforePull);
    const Ids theirs = scattered(0, kHalf, 13), ours = scattered(0, kBlocks, 37);
    const TransferReport report = peer_.pull(local_, theirs, ours, options_).wait();
    fact_.path = report.path;
    fact_.pull_method = report.method;
    expect(ours, theirs, kOwnerSeed, kBeforePull, "a pull");
  }

  // What was pushed is pulled back into other blocks.
  void push() {
    refill(local_, kPushed);
    const Ids theirs = scattered(kHalf, kHalf, 11), ours = scattered(0, kBlocks, 29);
    const TransferReport report = peer_.push(local_, theirs, ours, options_).wait();
    fact_.push_method = report.method;
    refill(local_, kBeforeReturn);
    const Ids back = scattered(0, kBlocks, 41);
    peer_.pull(local_, theirs, back, options_).wait();
    expect(back, ours, kPushed, kBeforeReturn, "a push");
  }

  // Every byte of the pool: local block ids[i] as block `as[i]` under `moved`, all others as they
  // were under `before`.
  void expect(const Ids& ids, const Ids& as, std::uint64_t moved, std::uint64_t before,
              const char* after) {
    std::vector<BlockSpec> specs = whole_pool(kBlocks, Fill::indexed, before);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      specs[ids[i]] = {ids[i], as[i], Fill::indexed, moved};
    }
    const pattern::Mismatch wrong = pattern::check(local_, specs, {});
    fact_.bytes += compared_bytes(local_, kBlocks, {});
    if (wrong.bytes == 0) return;
    throw Error(ErrorCode::failed,
                fmt::format("{} bytes are wrong after {} over {} (the first in layer {}, block {})",
                            wrong.bytes, after, fact_.path, wrong.layer, wrong.block));
  }

  const Pool& local_;
  Peer peer_;
  TransferOptions options_;
  PairFact& fact_;
};

PairFact try_pair(const Job& job, const Job::Target& target, const Pool& local, Node& node) {
  PairFact fact;
  fact.local = job.device;
  fact.remote = target.device;
  fact.private_memory = target.private_memory;
  fact.outcome = PairFact::Outcome::failed;
  const auto start = Clock::now();
  try {
    TransferOptions options;
    options.deadline = job.timeout;
    options.allow_slow = true;  // it is shown which path it was
    options.remote_pool = target.private_memory ? kPrivatePool : kPool;
    Peer peer = node.connect("unix:" + target.socket, job.timeout);
    Pair(local, peer, options, fact).run();
    peer.close();
    fact.outcome = PairFact::Outcome::verified;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::deadline) fact.outcome = PairFact::Outcome::late;
    fact.reason = error.what();
  }
  fact.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return fact;
}

}  // namespace

void run_mover(const Job& job, const ToolContext& context) {
  const Pool local = make_test_pool(device_named(job.device));
  NodeOptions options;
  options.name = "doctor";
  options.log = context.log;
  Node node(options);
  node.add(local);
  context.out.line("{}", kReady);
  for (const Job::Target& target : job.targets) {
    context.interrupts.throw_if_requested();
    const PairFact fact = try_pair(job, target, local, node);
    context.out.line("{}", to_json(fact).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

}  // namespace kvferry::cli::doctor
