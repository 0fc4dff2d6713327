#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "commands.hpp"
#include "kvferry/error.hpp"
#include "move.hpp"
#include "read_back.hpp"
#include "servers.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using pattern::BlockSpec;
using pattern::Fill;

// Other paths know no rate.
bool goes_by_tcp(const std::string& path, const RunReport& report) {
  if (path != "auto") return path == "tcp";
  return std::ranges::any_of(report.remotes, [](const RemoteReport& remote) {
    return std::ranges::any_of(remote.pairs, [](const PairExplanation& pair) {
      return pair.local_pool == kPoolName && pair.chosen == "tcp";
    });
  });
}

// The server's fills have seed 0; what round r pushes has seed r, so each push changes every block.
// What is sent is filled in any case; it is compared only where verification is wanted.
class PushVerifier final : public Verifier {
 public:
  PushVerifier(const MoveRequest& request, const Client& client, const IdLists& ids,
               std::optional<ReadBack> read_back, Context& context)
      : layers_(request.transfer.layers),
        rate_(goes_by_tcp(request.transfer.path, context.report) ? request.transfer.bytes_per_s
                                                                 : 0),
        transfers_(request.rounds),
        client_(client),
        out_(context.out),
        work_(context.out, context.interrupts),
        read_back_(std::move(read_back)),
        result_(context.report.verification) {
    for (std::size_t i = 0; i < ids.local.size(); ++i) {
      sent_.push_back({ids.local[i], ids.local[i], Fill::indexed, 0});
      moved_.push_back({ids.remote[i], ids.local[i], Fill::indexed, 0});
    }
    if (!read_back_) return;
    result_.blocks = moved_.size();
    result_.layers = request.layers();
  }

  void begin() override {
    if (!read_back_) return;
    const auto fill = fill_from_tag(client_.server().remote.tag);
    if (!fill) {
      result_.other_note = "the server's tag does not say what its other blocks hold";
      return;
    }
    std::vector<bool> target(client_.server().remote.blocks);
    for (const BlockSpec& spec : moved_) target[spec.block] = true;
    std::vector<BlockSpec> others, targets;
    for (const BlockSpec& spec : whole_pool(client_.server().remote.blocks, *fill, 0)) {
      (target[spec.block] ? targets : others).push_back(spec);
    }
    const std::uint32_t layers = client_.pool.shape().layers;
    unchanged_ = {Unchanged{{0, layers}, std::move(others), {}},
                  Unchanged{{0, layers_.begin}, targets, {}},
                  Unchanged{{layers_.end, layers}, targets, {}}};
    tell_time();
    std::size_t skipped = 0;
    for (Unchanged& part : unchanged_) {
      part.known = read_back_->matching(part.all, part.layers, "reading the server's other blocks");
      if (part.layers.begin < part.layers.end) skipped += part.all.size() - part.known.size();
    }
    if (skipped > 0) {
      result_.other_note =
          fmt::format("{} had been written before, so what they should hold is not known",
                      counted(skipped, "other block"));
    }
  }

  void before(std::uint32_t round) override {
    for (BlockSpec& spec : sent_) spec.seed = round;
    for (BlockSpec& spec : moved_) spec.seed = round;
    work_.fill(client_.pool, sent_, layers_, "filling the blocks to send");
  }

  void after(std::uint32_t round) override {
    if (!read_back_) return;
    const auto found = read_back_->compare(moved_, layers_, "reading the pushed blocks back");
    result_.bytes += compared_bytes(client_.pool, moved_.size(), layers_);
    ++result_.transfers;
    if (found.bytes == 0) return;
    result_.wrong_bytes += found.bytes;
    fail("moved", found,
         fmt::format("verification failed after transfer {}: of the pushed blocks, read back,",
                     round));
  }

  void finish() override {
    result_.other_blocks = unchanged_[0].known.size();
    std::optional<pattern::Mismatch> wrong;
    for (const Unchanged& part : unchanged_) {
      const auto found =
          read_back_->compare(part.known, part.layers, "reading the server's other blocks again");
      result_.other_bytes += compared_bytes(client_.pool, part.known.size(), part.layers);
      if (found.bytes == 0) continue;
      result_.other_wrong_bytes += found.bytes;
      if (!wrong) wrong = found;
    }
    if (wrong) {
      fail("other", *wrong,
           "verification failed: since before the push, by it or by another client, in blocks that "
           "were not pushed,");
    }
  }

 private:
  // Blocks that must not change in these layers, and those of them that can be checked.
  struct Unchanged {
    LayerRange layers{0, 0};
    std::vector<BlockSpec> all, known;
  };

  // The rate is for the network's sake, so that reading back keeps to it; which may take long.
  void tell_time() const {
    if (rate_ == 0) return;
    std::uint64_t other = 0;
    for (const Unchanged& part : unchanged_)
      other += compared_bytes(client_.pool, part.all.size(), part.layers);
    const std::uint64_t all =
        2 * other + transfers_ * compared_bytes(client_.pool, moved_.size(), layers_);
    out_.line(
        "note: verification reads {} back, at --rate as well: about {}; --no-verify leaves it "
        "out",
        format_bytes(all), format_seconds(static_cast<double>(all) / static_cast<double>(rate_)));
  }

  [[noreturn]] void fail(const char* where, const pattern::Mismatch& found,
                         const std::string& what) {
    result_.first = WrongPlace{where, found.layer, found.block, found.offset};
    throw Error(
        ErrorCode::failed,
        fmt::format("{} {} bytes are wrong, the first in layer {}, remote block {}, byte {}", what,
                    format_count(found.bytes), found.layer, found.block, found.offset));
  }

  LayerRange layers_;
  const std::uint64_t rate_;  // bytes a second; 0: any
  const std::uint64_t transfers_;
  const Client& client_;
  Output& out_;
  PatternWork work_;
  std::optional<ReadBack> read_back_;
  Verification& result_;
  std::vector<BlockSpec> sent_, moved_;
  std::array<Unchanged, 3> unchanged_{};
};

void print_verified(const MoveRequest& request, const Verification& v, Output& out) {
  if (!v.wanted) {
    out.field("verified", "no: --no-verify");
    return;
  }
  out.field("verified", fmt::format("{} x {}, pulled back, every byte", counted(v.blocks, "block"),
                                    counted(v.layers, "layer")));
  const bool partial = request.layers() < request.geometry.shape.layers;
  if (v.other_bytes > 0) {
    out.field("", fmt::format("{}{} unchanged", counted(v.other_blocks, "other remote block"),
                              partial ? ", and the pushed ones' other layers," : ""));
  }
  if (!v.other_note.empty()) out.field("", "not checked: " + v.other_note);
}

}  // namespace

void run_push(const MoveOptions& options, Context& context) {
  const MoveRequest request = check_request(options, Direction::push);
  if (chosen_servers(options.endpoint).size() > 1)
    throw Error(ErrorCode::invalid_argument, "--to names several servers; a push goes to one");
  context.report.geometry = request.geometry;
  context.report.verification.wanted = !options.no_verify;
  context.out.line("kvferry push: {} x {} to {}", counted(request.block_count, "block"),
                   counted(request.layers(), "layer"), where_to(options.endpoint));
  ClientPlan plan{"push", request.geometry, 0, request.transfer.deadline};
  if (!options.no_verify) {
    plan.check_blocks = ReadBack::pool_blocks(request.geometry.shape, request.block_count);
  }
  const ConnectedClient connected = connect_client(options, plan, context);
  const Client& client = connected.client;
  if (!client.server().remote.writable) {
    throw Error(
        ErrorCode::refused,
        "the server's pool is not writable for us: kvferry serve needs --writable, and where it "
        "has --permit, our credential the right to write");
  }
  const IdLists ids = request_ids(request, client);
  prepare(request, client, context);
  std::optional<ReadBack> read_back;
  if (!options.no_verify) {
    read_back.emplace(client, connected.check_pool.front(), request.transfer, context);
  }
  PushVerifier verifier(request, client, ids, std::move(read_back), context);
  run_rounds(request, client, ids, &verifier, context);
  print_verified(request, context.report.verification, context.out);
}

}  // namespace kvferry::cli
