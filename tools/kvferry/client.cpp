#include "client.hpp"

#include <fmt/format.h>

#include <algorithm>

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
  context.out.field(
      "local", fmt::format("{} block{} ({}) on {}{}", pool.blocks(), pool.blocks() == 1 ? "" : "s",
                           format_bytes(bytes), device.device.to_string(),
                           device.why.empty() ? "" : " (" + device.why + ")"));
  context.out.field(
      "remote", printable(fmt::format("{} blocks on {}, {}, {}, served by {}", remote.blocks,
                                      remote.device, remote.tag.empty() ? "no tag" : remote.tag,
                                      remote.writable ? "writable" : "read-only", peer.name())));
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
  PoolOptions pool_options;
  pool_options.name = kPoolName;
  pool_options.tag = "local";
  context.out.progress().note("allocating " + format_bytes(geometry.pool_bytes()));
  Pool pool = Pool::allocate(device.device, geometry.shape, geometry.blocks, pool_options);
  context.out.progress().clear();
  context.interrupts.throw_if_requested();

  NodeOptions node_options;
  node_options.name = plan.name;
  node_options.log = context.log;
  auto node = std::make_unique<Node>(node_options);
  node->add(pool);
  std::vector<Pool> check_pool;
  if (plan.check_blocks > 0) {
    pool_options.name = kCheckPoolName;
    check_pool.push_back(
        Pool::allocate(device.device, geometry.shape, plan.check_blocks, pool_options));
    node->add(check_pool.front());
  }
  Peer peer = node->connect(address);
  RemotePool remote = find_pool(peer);
  context.report.remote = RemoteReport{peer.name(), address, remote};
  Client client{std::move(device), std::move(pool), std::move(node), std::move(peer),
                std::move(remote)};
  describe(client, geometry, context);
  context.report.pairs = client.peer.explain();
  return {std::move(client), std::move(check_pool)};
}

}  // namespace kvferry::cli
