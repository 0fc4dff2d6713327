#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "commands.hpp"
#include "kvferry/error.hpp"
#include "move.hpp"
#include "pattern_work.hpp"
#include "servers.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using pattern::BlockSpec;
using pattern::Fill;

// The server's fills have seed 0. Ours: this one for what must never change, and 1 + round (below
// it) for what a transfer must overwrite; so no two of them can be mistaken for each other.
constexpr std::uint64_t kUntouchedSeed = std::numeric_limits<std::uint32_t>::max();

// Every byte of the local pool has a value that is known before each transfer; after it, every byte
// is compared with what it must be now.
class PullVerifier final : public Verifier {
 public:
  // `fills[i]`: of server i.
  PullVerifier(const MoveRequest& request, const Client& client, const IdLists& ids,
               const std::vector<Fill>& fills, Context& context)
      : layers_(request.transfer.layers),
        client_(client),
        ids_(ids),
        work_(context.out, context.interrupts),
        result_(context.report.verification) {
    std::vector<bool> target(client.pool.blocks());
    for (std::size_t s = 0; s < fills.size(); ++s) {
      const Share share = share_of(s, fills.size(), ids.local.size());
      for (std::size_t i = share.begin; i < share.end; ++i)
        moved_.push_back({ids.local[i], ids.remote[i], fills[s], 0});
    }
    for (const std::uint32_t id : ids.local) {
      overwritten_.push_back({id, id, Fill::indexed, 0});
      target[id] = true;
    }
    for (const BlockSpec& spec : whole_pool(client.pool.blocks(), Fill::indexed, kUntouchedSeed)) {
      (target[spec.block] ? targets_untouched_ : others_).push_back(spec);
    }
    result_.blocks = ids.local.size();
    result_.layers = request.layers();
  }

  void begin() override {
    work_.fill(client_.pool, whole_pool(client_.pool.blocks(), Fill::indexed, kUntouchedSeed), {},
               "filling the local pool");
  }

  void before(std::uint32_t round) override {
    for (BlockSpec& spec : overwritten_) spec.seed = round;
    work_.fill(client_.pool, overwritten_, layers_, "overwriting the destination");
  }

  void after(std::uint32_t round) override {
    // Everything is compared, also when the first comparison finds something: the counts in the
    // report then mean the same for good transfers and bad ones.
    std::optional<Error> failure;
    check_moved(round, failure);
    constexpr const char* kLabel = "checking everything else";
    check_other(round, others_, {}, kLabel, failure);
    check_other(round, targets_untouched_, {0, layers_.begin}, kLabel, failure);
    check_other(round, targets_untouched_, {layers_.end, client_.pool.shape().layers}, kLabel,
                failure);
    result_.other_blocks = others_.size() + (whole_range() ? 0 : targets_untouched_.size());
    ++result_.transfers;
    if (failure) throw *failure;
  }

  void finish() override {}

 private:
  bool whole_range() const {
    return layers_.begin == 0 && layers_.end == client_.pool.shape().layers;
  }

  // Who sent the block at this place of the list.
  const Server& server_of(std::size_t place) const {
    const std::size_t count = client_.servers.size();
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (place < share_of(i, count, ids_.local.size()).end) return client_.servers[i];
    return client_.servers.back();
  }

  void check_moved(std::uint32_t round, std::optional<Error>& failure) {
    const auto found = work_.check(client_.pool, moved_, layers_, "checking the pulled blocks");
    result_.bytes += compared_bytes(client_.pool, moved_.size(), layers_);
    if (found.bytes == 0) return;
    result_.wrong_bytes += found.bytes;
    result_.first = WrongPlace{"moved", found.layer, found.block, found.offset};
    const auto at = std::find(ids_.local.begin(), ids_.local.end(), found.block);
    const auto place = static_cast<std::size_t>(
        at == ids_.local.end() ? 0 : std::distance(ids_.local.begin(), at));
    const Server& server = server_of(place);
    failure.emplace(
        ErrorCode::failed,
        fmt::format("verification failed after transfer {}: {} wrong bytes in pulled blocks, "
                    "the first in layer {}, local block {} (from remote block {}{}), byte {}{}",
                    round, format_count(found.bytes), found.layer, found.block, ids_.remote[place],
                    client_.servers.size() == 1 ? "" : " of " + printable(server.label),
                    found.offset,
                    // To a credential that may only read, every pool is read-only.
                    server.remote.writable
                        ? "; the server's pool is writable: blocks that somebody pushed into hold "
                          "other bytes than its fill"
                        : "; if others may push into the server's pool, blocks that somebody "
                          "pushed into hold other bytes than its fill"));
  }

  void check_other(std::uint32_t round, const std::vector<BlockSpec>& specs, LayerRange layers,
                   const char* label, std::optional<Error>& failure) {
    const auto found = work_.check(client_.pool, specs, layers, label);
    result_.other_bytes += compared_bytes(client_.pool, specs.size(), layers);
    if (found.bytes == 0) return;
    result_.other_wrong_bytes += found.bytes;
    if (failure) return;
    result_.first = WrongPlace{"other", found.layer, found.block, found.offset};
    failure.emplace(
        ErrorCode::failed,
        fmt::format("verification failed after transfer {}: {} bytes changed that were not "
                    "asked for, the first in layer {}, local block {}, byte {}",
                    round, format_count(found.bytes), found.layer, found.block, found.offset));
  }

  LayerRange layers_;
  const Client& client_;
  const IdLists& ids_;
  PatternWork work_;
  Verification& result_;
  std::vector<BlockSpec> moved_, overwritten_, others_, targets_untouched_;
};

std::vector<Fill> known_fills(const std::vector<Server>& servers) {
  std::vector<Fill> fills;
  for (const Server& server : servers) {
    const auto fill = fill_from_tag(server.remote.tag);
    if (!fill) {
      throw Error(ErrorCode::refused,
                  fmt::format("cannot verify: the server's tag \"{}\" does not say what its pool "
                              "holds (fill=ones or fill=indexed); nothing was pulled. Use "
                              "--no-verify to pull without a check",
                              printable(server.remote.tag)));
    }
    fills.push_back(*fill);
  }
  return fills;
}

}  // namespace

void run_pull(const MoveOptions& options, Context& context) {
  const MoveRequest request = check_request(options, Direction::pull);
  context.report.geometry = request.geometry;
  context.report.verification.wanted = !options.no_verify;
  context.out.line("kvferry pull: {} x {} from {}", counted(request.block_count, "block"),
                   counted(request.layers(), "layer"), where_to(options.endpoint));
  const ConnectedClient connected =
      connect_client(options, {"pull", request.geometry, 0, request.transfer.deadline}, context);
  const Client& client = connected.client;
  const IdLists ids = request_ids(request, client);
  std::optional<PullVerifier> verifier;
  if (!options.no_verify) {
    verifier.emplace(request, client, ids, known_fills(client.servers), context);
  }
  prepare(request, client, context);
  run_rounds(request, client, ids, verifier ? &*verifier : nullptr, context);
  const Verification& v = context.report.verification;
  if (options.no_verify) {
    context.out.field("verified", "no: --no-verify");
    return;
  }
  const std::uint64_t other_layers = client.pool.shape().layers - v.layers;
  context.out.field(
      "verified",
      fmt::format("{} x {}, every byte; {} unchanged{}", counted(v.blocks, "block"),
                  counted(v.layers, "layer"),
                  counted(client.pool.blocks() - v.blocks, "other block"),
                  other_layers == 0
                      ? ""
                      : fmt::format(", as the other {} layers of the pulled ones", other_layers)));
}

}  // namespace kvferry::cli
