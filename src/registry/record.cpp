#include "registry/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/ip/address.hpp>

#include "kvferry/error.hpp"
#include "registry/json_bounds.hpp"
#include "session/address.hpp"
#include "session/identity.hpp"
#include "session/loopback.hpp"
#include "wire/messages.hpp"

namespace kvferry::registry {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 62;
// The clock counts nanoseconds in 63 bits: this is the year 2242.
constexpr std::uint64_t kMaxSeconds = std::uint64_t{1} << 33;

json pool_json(const RemotePool& pool) {
  return {{"name", pool.name},
          {"tag", pool.tag},
          {"layers", pool.shape.layers},
          {"kv", pool.shape.kv},
          {"heads", pool.shape.kv_heads},
          {"dims", pool.shape.head_dim},
          {"block_size", pool.shape.block_tokens},
          {"dtype", to_string(pool.shape.dtype)},
          {"blocks", pool.blocks},
          {"writable", pool.writable},
          {"generation", pool.generation},
          {"device", pool.device}};
}

RemotePool pool_of(const json& object, const std::string& what) {
  const Fields fields(object, what);
  const auto number32 = [&](const char* name) {
    return static_cast<std::uint32_t>(fields.number(name, 0, UINT32_MAX));
  };
  RemotePool pool;
  pool.name = fields.text("name", wire::kMaxNameBytes);
  if (!wire::is_name(pool.name)) fields.fail("name", "is no name of a pool");
  pool.tag = fields.text("tag", wire::kMaxTagBytes);
  pool.shape.layers = number32("layers");
  pool.shape.kv = number32("kv");
  pool.shape.kv_heads = number32("heads");
  pool.shape.head_dim = number32("dims");
  pool.shape.block_tokens = number32("block_size");
  try {
    pool.shape.dtype = parse_dtype(fields.text("dtype", wire::kMaxNameBytes));
    pool.shape.validate();
  } catch (const Error& error) {
    fields.fail("", error.what());
  }
  pool.blocks = static_cast<std::uint32_t>(fields.number("blocks", 1, wire::kMaxBlocks));
  pool.writable = fields.flag("writable");
  pool.generation = fields.number("generation", 1, kMaxCount);
  pool.device = fields.text("device", wire::kMaxTagBytes);
  return pool;
}

void read_status(const Fields& fields, const std::string& what, NodeStatus& status) {
  const Fields load = fields.object("load");
  status.peers = static_cast<std::uint32_t>(load.number("peers", 0, UINT32_MAX));
  status.max_peers = static_cast<std::uint32_t>(load.number("max_peers", 0, UINT32_MAX));
  status.served_transfers = load.number("transfers", 0, kMaxCount);
  status.served_bytes = load.number("bytes", 0, kMaxCount);
  for (const json& pool : fields.list("pools", wire::kMaxPools))
    status.pools.push_back(pool_of(pool, fmt::format("{}: pools[{}]", what, status.pools.size())));
}

std::vector<std::string> read_addresses(const Fields& fields) {
  std::vector<std::string> addresses;
  for (const json& entry : fields.list("addresses", kMaxAddresses)) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().size() > kMaxAddressBytes ||
        !wire::is_clean_text(entry.get_ref<const std::string&>()))
      fields.fail("addresses", "holds something that is no address");
    try {
      check_address(entry.get_ref<const std::string&>());
    } catch (const Error& error) {
      fields.fail("addresses", error.what());
    }
    addresses.push_back(entry);
  }
  if (addresses.empty()) fields.fail("addresses", "is empty");
  return addresses;
}

}  // namespace

std::string encode(const Record& record) {
  const RegisteredPeer& peer = record.peer;
  const NodeStatus& status = peer.status;
  json pools = json::array();
  for (const RemotePool& pool : status.pools) pools.push_back(pool_json(pool));
  const auto started = std::chrono::duration_cast<std::chrono::seconds>(
      std::max(peer.started, std::chrono::system_clock::time_point{}).time_since_epoch());
  const json value{{"schema", kRecordSchema},
                   {"node", status.name},
                   {"addresses", peer.addresses},
                   {"health", peer.health},
                   {"load",
                    {{"peers", status.peers},
                     {"max_peers", status.max_peers},
                     // Sums of what peers say: an entry that its readers refuse would take the
                     // node off the list.
                     {"transfers", std::min(status.served_transfers, kMaxCount)},
                     {"bytes", std::min(status.served_bytes, kMaxCount)}}},
                   {"pools", std::move(pools)},
                   {"version", peer.version},
                   {"host", peer.host},
                   {"boot_id", record.boot_id},
                   {"pid", peer.pid},
                   {"started", started.count()}};
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMaxRecordBytes)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the registry entry '{}' would have {} bytes, at most {} fit; it names "
                            "{} pools: serve fewer in one node",
                            peer.name, text.size(), kMaxRecordBytes, status.pools.size()));
  return text;
}

Record decode(std::string_view name, std::string_view text) {
  const std::string what = fmt::format("registry entry '{}'", wire::printable(name, 100));
  if (!wire::is_name(name))
    throw Error(ErrorCode::refused, what + ": a name has 1 to 64 of [A-Za-z0-9._-]");
  const json value = parse_object(text, kMaxRecordBytes, what);
  const Fields fields(value, what);
  if (const auto schema = fields.number("schema", 1, UINT32_MAX); schema != kRecordSchema)
    fields.fail("schema", fmt::format("is {}; this kvferry reads {}: use the same release on both "
                                      "sides",
                                      schema, kRecordSchema));
  Record record;
  RegisteredPeer& peer = record.peer;
  peer.name = name;
  peer.addresses = read_addresses(fields);
  peer.health = fields.text("health", wire::kMaxNameBytes);
  peer.version = fields.text("version", wire::kMaxNameBytes);
  peer.host = fields.text("host", wire::kMaxTagBytes);
  peer.pid = static_cast<std::uint32_t>(fields.number("pid", 0, wire::kMaxPid));
  peer.started = std::chrono::system_clock::time_point(
      std::chrono::seconds(fields.number("started", 0, kMaxSeconds)));
  peer.status.name = fields.text("node", wire::kMaxNameBytes);
  read_status(fields, what, peer.status);
  peer.status.addresses = peer.addresses;
  record.boot_id = fields.text("boot_id", 32);
  peer.same_host = !record.boot_id.empty() && record.boot_id == own_boot_id();
  return record;
}

bool is_local_only(std::string_view address) {
  const session::Address where = session::parse_address(address);
  if (where.is_unix || where.host == "localhost") return true;
  std::error_code error;
  const auto numeric = asio::ip::make_address(where.host, error);
  return !error && session::is_loopback(numeric);
}

void check_address(std::string_view address) { session::parse_address(address); }

std::string own_boot_id() {
  const session::BootId id = session::boot_id();
  if (id == session::BootId{}) return {};
  std::string text;
  for (const std::byte byte : id) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

}  // namespace kvferry::registry
