#include "peers/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "client.hpp"
#include "kvferry/version.hpp"
#include "plan/table.hpp"
#include "units.hpp"

namespace kvferry::cli::peers {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

// Clocks of two hosts differ: no age is less than nothing.
seconds age_of(const RegisteredPeer& peer, TimePoint now) {
  return std::max(seconds(0), std::chrono::duration_cast<seconds>(now - peer.started));
}

// "40x2x8x128x16 bf16": layers, kv, heads, dims, tokens.
std::string short_shape(const CacheShape& s) {
  return fmt::format("{}x{}x{}x{}x{} {}", s.layers, s.kv, s.kv_heads, s.head_dim, s.block_tokens,
                     to_string(s.dtype));
}

std::string first_addresses(const std::vector<std::string>& addresses) {
  std::string text = addresses.front();
  if (addresses.size() > 1) text += fmt::format(" +{}", addresses.size() - 1);
  return text;
}

Json pool_json(const RemotePool& pool) {
  return {{"name", pool.name},
          {"tag", pool.tag},
          {"layers", pool.shape.layers},
          {"kv", pool.shape.kv},
          {"heads", pool.shape.kv_heads},
          {"dims", pool.shape.head_dim},
          {"block_size", pool.shape.block_tokens},
          {"dtype", to_string(pool.shape.dtype)},
          {"block_bytes", pool.shape.block_bytes()},
          {"blocks", pool.blocks},
          {"writable", pool.writable},
          {"device", pool.device}};
}

Json peer_json(const RegisteredPeer& peer, TimePoint now) {
  Json pools = Json::array();
  for (const RemotePool& pool : peer.status.pools) pools.push_back(pool_json(pool));
  return {{"name", peer.name},
          {"addresses", peer.addresses},
          {"health", peer.health},
          {"peers", peer.status.peers},
          {"max_peers", peer.status.max_peers},
          {"served_transfers", peer.status.served_transfers},
          {"served_bytes", peer.status.served_bytes},
          {"pools", std::move(pools)},
          {"version", peer.version},
          {"host", peer.host},
          {"same_host", peer.same_host},
          {"pid", peer.pid},
          {"age_s", age_of(peer, now).count()}};
}

}  // namespace

std::string format_age(seconds age) {
  const auto count = age.count();
  if (count < 120) return fmt::format("{} s", count);
  if (count < 2 * 3600) return fmt::format("{} min", count / 60);
  if (count < 48 * 3600) return fmt::format("{} h", count / 3600);
  return fmt::format("{} d", count / 86400);
}

std::string to_text(const Snapshot& snapshot) {
  if (snapshot.peers.empty()) return "nobody is registered in " + snapshot.registry;
  planning::Table table({"name", "address", "health", "pool", "geometry", "blocks", "size", "on",
                         "peers", "served", "age"});
  for (const RegisteredPeer& peer : snapshot.peers) {
    const NodeStatus& status = peer.status;
    std::vector<std::string> first{peer.name, first_addresses(peer.addresses), peer.health};
    std::vector<std::string> last{fmt::format("{}/{}", status.peers, status.max_peers),
                                  format_bytes(status.served_bytes),
                                  format_age(age_of(peer, snapshot.at))};
    const auto add = [&](const std::vector<std::string>& pool) {
      std::vector<std::string> cells = first;
      cells.insert(cells.end(), pool.begin(), pool.end());
      cells.insert(cells.end(), last.begin(), last.end());
      for (std::string& cell : cells) cell = printable(std::move(cell));
      table.add(std::move(cells));
      // A server's further pools stand below its first.
      first = {"", "", ""};
      last = {"", "", ""};
    };
    for (const RemotePool& pool : status.pools) {
      const std::uint64_t bytes = pool.shape.block_bytes() * pool.shape.layers * pool.blocks;
      add({pool.name, short_shape(pool.shape), format_count(pool.blocks), format_bytes(bytes),
           pool.device + (pool.writable ? ", writable" : "")});
    }
    if (status.pools.empty()) add({"-", "-", "-", "-", "-"});
  }
  std::string text = table.to_string();
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string to_json(const Snapshot& snapshot, const std::optional<Failure>& failure, int indent) {
  Json peers = Json::array();
  for (const RegisteredPeer& peer : snapshot.peers) peers.push_back(peer_json(peer, snapshot.at));
  Json json{
      {"schema", 1},
      {"command", "peers"},
      {"version", version()},
      {"build", build_description()},
      {"registry", snapshot.registry},
      {"at_unix_s", std::chrono::duration_cast<seconds>(snapshot.at.time_since_epoch()).count()},
      {"peers", std::move(peers)},
      {"exit_code", failure ? failure->exit_code : 0},
      {"error", nullptr}};
  if (failure) json["error"] = {{"code", failure->code}, {"message", failure->message}};
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string essence(const Snapshot& snapshot) {
  std::string text;
  for (const RegisteredPeer& peer : snapshot.peers) {
    text += fmt::format("{} {} {} {} {};", peer.name, fmt::join(peer.addresses, " "), peer.health,
                        peer.pid, peer.started.time_since_epoch().count());
    for (const RemotePool& pool : peer.status.pools)
      text += fmt::format("{} {} {} {};", pool.name, pool.shape.to_string(), pool.blocks,
                          pool.generation);
  }
  return text;
}

}  // namespace kvferry::cli::peers
