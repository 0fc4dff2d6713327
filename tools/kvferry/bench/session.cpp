#include "bench/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "bench/suite.hpp"
#include "ids.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using pattern::BlockSpec;
using pattern::Fill;

// What lies between the blocks of a padded layout: a multiple of every vector's size, and no power
// of two's worth of a block.
constexpr std::uint64_t kPadBytes = 256;

// One range of memory of ours, large enough.
Pool backing(Device device, std::uint64_t bytes) {
  constexpr std::uint64_t kPiece = std::uint64_t{2} << 20;
  return Pool::allocate(device, shape_for(kPiece, 1),
                        static_cast<std::uint32_t>((bytes + kPiece - 1) / kPiece));
}

Pool make_pool(const SessionSpec& spec) {
  const Device device = device_from(spec.device);
  const CacheShape& shape = spec.server.shape;
  if (spec.layout == "joint") return Pool::allocate(device, shape, spec.blocks);
  // As an engine's own tensors would be.
  AttachOptions attach;
  attach.shape = shape;
  attach.blocks = spec.blocks;
  const bool apart = spec.layout == "kv_apart";
  const std::uint64_t parts = apart ? 2 : 1;
  attach.block_stride = shape.block_bytes() / parts + (apart ? 0 : kPadBytes);
  const std::uint64_t tensor_bytes = attach.block_stride * spec.blocks;
  auto memory = std::make_shared<Pool>(backing(device, tensor_bytes * parts * shape.layers));
  auto* at = static_cast<std::byte*>(memory->layer(0));
  for (std::uint64_t i = 0; i < parts * shape.layers; ++i, at += tensor_bytes) {
    attach.bases.push_back(at);
  }
  attach.keep_alive = std::move(memory);
  return Pool::attach(attach);
}

NodeOptions node_options(const ClientTuning& tuning, Session::Log log) {
  NodeOptions options;
  options.name = "bench";
  options.copy_threads = tuning.copy_threads;
  options.copy_costs = tuning.costs;
  options.network = tuning.network;
  options.ucx = tuning.ucx;
  options.credentials = tuning.credentials;
  options.log = std::move(log);
  return options;
}

Peer connect(Node& node, const Pool& pool, const std::string& address) {
  node.add(pool);
  return node.connect(address, std::chrono::seconds(30));
}

// Every block of a pool as its own index says.
std::vector<BlockSpec> each_its_own(std::uint32_t blocks, std::uint64_t seed) {
  std::vector<BlockSpec> specs(blocks);
  for (std::uint32_t id = 0; id < blocks; ++id) specs[id] = {id, id, Fill::indexed, seed};
  return specs;
}

}  // namespace

Device device_from(std::string_view name) {
  if (name == "host") return Device::host();
  int ordinal = 0;
  constexpr std::size_t kPrefix = std::string_view("cuda:").size();
  std::from_chars(name.data() + std::min(kPrefix, name.size()), name.data() + name.size(), ordinal);
  return Device::cuda(ordinal);
}

Session::Session(const SessionSpec& spec, const std::string& address, const ClientTuning& tuning,
                 Log log)
    : spec_(spec),
      pool_(make_pool(spec)),
      node_(node_options(tuning, std::move(log))),
      peer_(connect(node_, pool_, address)) {}

Session::Ids Session::ids(std::uint32_t count, bool scattered) const {
  if (scattered) {
    return {scattered_ids(1, spec_.server.blocks, count), scattered_ids(2, spec_.blocks, count)};
  }
  Ids ids{std::vector<std::uint32_t>(count), std::vector<std::uint32_t>(count)};
  std::iota(ids.remote.begin(), ids.remote.end(), 0u);
  // Not the same place on both sides, where there is room.
  std::iota(ids.local.begin(), ids.local.end(), (spec_.blocks - count) / 2);
  return ids;
}

void Session::prepare(Move& move) const {
  const auto& [remote, local] = move.ids;
  move.prepared = move.direction == Direction::pull
                      ? peer_.prepare_pull(pool_, remote, local, move.options)
                      : peer_.prepare_push(pool_, remote, local, move.options);
}

Transfer Session::post(const Move& move) const {
  if (move.prepared) return move.prepared->post();
  const auto& [remote, local] = move.ids;
  return move.direction == Direction::pull ? peer_.pull(pool_, remote, local, move.options)
                                           : peer_.push(pool_, remote, local, move.options);
}

TransferReport Session::verify(const Move& move) {
  return move.direction == Direction::pull ? verify_pull(move) : verify_push(move);
}

std::vector<BlockSpec> Session::fill_local() {
  auto specs = each_its_own(spec_.blocks, ++seed_);
  pattern::fill(pool_, specs, {});
  return specs;
}

// `moved` in the layers that were, `others` in the rest.
void Session::check_local(const std::vector<BlockSpec>& moved, const std::vector<BlockSpec>& others,
                          LayerRange layers, std::string_view what) const {
  const auto check = [&](const std::vector<BlockSpec>& wanted, LayerRange range) {
    const pattern::Mismatch wrong = pattern::check(pool_, wanted, range);
    if (wrong.bytes == 0) return;
    throw Error(ErrorCode::failed,
                fmt::format("{} wrong bytes {}; the first at layer {}, block {}, offset {}",
                            wrong.bytes, what, wrong.layer, wrong.block, wrong.offset));
  };
  check(moved, layers);
  if (layers.end < pool_.shape().layers) check(others, {layers.end, pool_.shape().layers});
}

TransferReport Session::verify_pull(const Move& move) {
  const Ids& ids = move.ids;
  const auto before = fill_local();
  auto wanted = before;
  for (std::size_t i = 0; i < ids.local.size(); ++i) {
    wanted[ids.local[i]] = {ids.local[i], ids.remote[i], Fill::indexed, 0};
  }
  TransferReport report = post(move).wait();
  check_local(wanted, before, move.options.layers, "in the local pool after a pull");
  return report;
}

TransferReport Session::verify_push(const Move& move) {
  const Ids& ids = move.ids;
  fill_local();
  const std::uint64_t sent = seed_;
  TransferReport report = post(move).wait();
  // All of the server's pool, where it fits ours.
  const std::uint32_t seen = std::min(spec_.server.blocks, spec_.blocks);
  auto wanted = fill_local();
  auto unchanged = wanted;
  const Ids back = this->ids(seen, false);
  for (std::size_t i = 0; i < seen; ++i) {
    const std::uint32_t local = back.local[i], remote = back.remote[i];
    wanted[local] = unchanged[local] = {local, remote, Fill::indexed, 0};
    const auto pushed = std::ranges::find(ids.remote, remote);
    if (pushed == ids.remote.end()) continue;
    const auto at = static_cast<std::size_t>(pushed - ids.remote.begin());
    wanted[local] = {local, ids.local[at], Fill::indexed, sent};
  }
  TransferOptions options;
  options.streams = move.options.streams;  // no more connections than are asked for
  post({.direction = Direction::pull, .ids = back, .options = options}).wait();
  check_local(wanted, unchanged, move.options.layers, "in the server's pool after a push");
  std::vector<BlockSpec> original;
  for (std::size_t i = 0; i < ids.local.size(); ++i) {
    original.push_back({ids.local[i], ids.remote[i], Fill::indexed, 0});
  }
  pattern::fill(pool_, original, {});
  post(move).wait();
  return report;
}

}  // namespace kvferry::cli::bench
