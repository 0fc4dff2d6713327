#include "client.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "geometry_table.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

RemotePool find_pool(const Peer& peer) {
  std::string names;
  for (const RemotePool& pool : peer.pools()) {
    if (pool.name == kPoolName) return pool;
    names += names.empty() ? pool.name : ", " + pool.name;
  }
  throw Error(ErrorCode::refused,
              fmt::format("{} serves no pool named {}; it serves {}", printable(peer.name()),
                          kPoolName, names.empty() ? "none" : printable(names)));
}

void describe(const Client& client, const Geometry& geometry, Context& context) {
  const auto& [device, pool, node, peer, remote] = client;
  context.out.field("geometry", fmt::format("{}; a block is {}", geometry.shape.to_string(),
                                            format_bytes(geometry.shape.block_bytes())));
  const std::uint64_t bytes = geometry.shape.block_bytes() * geometry.shape.layers * pool.blocks();
  context.out.field("local", fmt::format("{} ({}) on {}{}", counted(pool.blocks(), "block"),
                                         format_bytes(bytes), device.device.to_string(),
                                         device.why.empty() ? "" : " (" + device.why + ")"));
  context.out.field("remote", printable(fmt::format(
                                  "{} on {}, {}, {}, served by {}", counted(remote.blocks, "block"),
                                  remote.device, remote.tag.empty() ? "no tag" : remote.tag,
                                  remote.writable ? "writable" : "read-only", peer.name())));
}

// The library's own patience, and so the longest a connect waits.
constexpr std::chrono::nanoseconds kConnectTimeout = std::chrono::seconds(5);

Peer connect_peer(Node& node, const std::string& address, const ClientPlan& plan,
                  const CredentialOptions& credentials) {
  const auto timeout = std::min(plan.deadline.value_or(kConnectTimeout), kConnectTimeout);
  ConnectOptions how;
  how.timeout = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  how.insecure = credentials.insecure;
  how.server_name = credentials.server_name;
  try {
    return node.connect(address, how);
  } catch (const Error& error) {
    // A silence that outlasts our own patience is no deadline of the user's.
    const bool own = plan.deadline && *plan.deadline <= kConnectTimeout;
    if (error.code() == ErrorCode::deadline && !own) {
      throw Error(ErrorCode::unreachable, error.what(), error.where());
    }
    if (!has_geometry_table(error.what())) throw;
    throw Error(error.code(),
                with_option_names(error.what()) +
                    "\nset the same --model, or --layers --heads --dims --block-size --dtype --kv, "
                    "on both sides",
                error.where());
  }
}

}  // namespace

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F; }, '?');
  return text;
}

std::string server_address(const EndpointOptions& endpoint) {
  if (!endpoint.socket.empty()) return "unix:" + endpoint.socket;
  const bool v6 = endpoint.ip.find(':') != std::string::npos && !endpoint.ip.starts_with('[');
  return v6 ? fmt::format("[{}]:{}", endpoint.ip, endpoint.port)
            : fmt::format("{}:{}", endpoint.ip, endpoint.port);
}

ConnectedClient connect_client(const PoolCommandOptions& options, const ClientPlan& plan,
                               Context& context) {
  const Geometry& geometry = plan.geometry;
  const std::string address = server_address(options.endpoint);
  DeviceChoice device = choose_device(options.device);
  context.report.device = device;
  if (!geometry.dtype_note.empty()) context.out.line("note: {}", geometry.dtype_note);
  PoolOptions pool_options;
  pool_options.name = kPoolName;
  pool_options.tag = "local";
  context.out.progress().note("allocating " + format_bytes(geometry.pool_bytes()));
  Pool pool = allocate_pool(device.device, geometry, pool_options);
  context.out.progress().clear();
  context.interrupts.throw_if_requested();

  NodeOptions node_options;
  node_options.name = plan.name;
  node_options.log = context.log;
  node_options.network = network_of(options.network, false);
  node_options.ucx = options.ucx;
  node_options.credentials = options.credentials.files;
  auto node = std::make_unique<Node>(node_options);
  node->add(pool);
  std::vector<Pool> check_pool;
  if (plan.check_blocks > 0) {
    pool_options.name = kCheckPoolName;
    const Geometry check{geometry.shape, plan.check_blocks, {}, {}};
    check_pool.push_back(allocate_pool(device.device, check, pool_options));
    node->add(check_pool.front());
  }
  Peer peer = connect_peer(*node, address, plan, options.credentials);
  RemotePool remote = find_pool(peer);
  context.report.remote = RemoteReport{peer.name(), address, remote};
  Client client{std::move(device), std::move(pool), std::move(node), std::move(peer),
                std::move(remote)};
  describe(client, geometry, context);
  context.report.pairs = client.peer.explain();
  return {std::move(client), std::move(check_pool)};
}

}  // namespace kvferry::cli
