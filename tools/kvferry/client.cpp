#include "client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <thread>

#include "geometry_table.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"
#include "registry_options.hpp"
#include "servers.hpp"
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
  const auto& [device, pool, node, servers] = client;
  context.out.field("geometry", fmt::format("{}; a block is {}", geometry.shape.to_string(),
                                            format_bytes(geometry.shape.block_bytes())));
  const std::uint64_t bytes = geometry.shape.block_bytes() * geometry.shape.layers * pool.blocks();
  context.out.field("local", fmt::format("{} ({}) on {}{}", counted(pool.blocks(), "block"),
                                         format_bytes(bytes), device.device.to_string(),
                                         device.why.empty() ? "" : " (" + device.why + ")"));
  for (const Server& server : servers) {
    const RemotePool& remote = server.remote;
    context.out.field(
        &server == &servers.front() ? "remote" : "",
        printable(fmt::format("{} on {}, {}, {}, served by {}", counted(remote.blocks, "block"),
                              remote.device, remote.tag.empty() ? "no tag" : remote.tag,
                              remote.writable ? "writable" : "read-only", server.peer.name())));
  }
}

// The library's own patience, and so the longest a connect waits.
constexpr std::chrono::nanoseconds kConnectTimeout = std::chrono::seconds(5);

// A connect cannot be broken off, so a thread waits in it. Once interrupted we do not wait for that
// thread: it keeps what it holds until the process ends, which it then does.
Peer unless_interrupted(const Interrupts& interrupts, std::packaged_task<Peer()> connect) {
  std::future<Peer> peer = connect.get_future();
  std::thread thread(std::move(connect));
  while (peer.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    if (!interrupts.requested()) continue;
    thread.detach();
    interrupts.throw_if_requested();
  }
  thread.join();
  return peer.get();
}

// `registry` is there where the choice is a name.
Peer connect_peer(const std::shared_ptr<Node>& node, const ServerChoice& choice,
                  const std::shared_ptr<Registry>& registry, const ClientPlan& plan,
                  const CredentialOptions& credentials, const Interrupts& interrupts) {
  const auto timeout = std::min(plan.deadline.value_or(kConnectTimeout), kConnectTimeout);
  ConnectOptions how;
  how.timeout = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  how.insecure = credentials.insecure;
  how.server_name = credentials.server_name;
  try {
    return unless_interrupted(interrupts, std::packaged_task<Peer()>([=] {
                                return choice.is_address
                                           ? node->connect(choice.text, how)
                                           : registry->connect(*node, choice.text, how);
                              }));
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

// What goes wrong with one of several servers says with which.
template <typename F>
auto naming_server(const std::vector<ServerChoice>& choices, const ServerChoice& choice, F&& call) {
  try {
    return std::forward<F>(call)();
  } catch (const Error& error) {
    if (choices.size() == 1) throw;
    throw Error(error.code(), fmt::format("{}: {}", choice.text, error.what()), error.where());
  }
}

std::vector<Server> connect_servers(const std::shared_ptr<Node>& node,
                                    const PoolCommandOptions& options, const ClientPlan& plan,
                                    Context& context) {
  const EndpointOptions& endpoint = options.endpoint;
  const std::vector<ServerChoice> choices = chosen_servers(endpoint);
  std::shared_ptr<Registry> registry;
  if (std::any_of(choices.begin(), choices.end(), [](const auto& c) { return !c.is_address; }))
    registry = std::make_shared<Registry>(open_registry(endpoint.registry, context.log));
  std::vector<Server> servers;
  for (const ServerChoice& choice : choices) {
    context.interrupts.throw_if_requested();
    servers.push_back(naming_server(choices, choice, [&] {
      Peer peer =
          connect_peer(node, choice, registry, plan, options.credentials, context.interrupts);
      RemotePool remote = find_pool(peer);
      return Server{choice.text, std::move(peer), std::move(remote)};
    }));
    const Server& server = servers.back();
    context.report.remotes.push_back(
        {server.peer.name(), server.label, server.remote, server.peer.explain()});
  }
  return servers;
}

}  // namespace

std::uint32_t Client::remote_blocks() const {
  return std::min_element(
             servers.begin(), servers.end(),
             [](const Server& a, const Server& b) { return a.remote.blocks < b.remote.blocks; })
      ->remote.blocks;
}

std::string where_to(const EndpointOptions& endpoint) {
  return endpoint.servers.empty() ? server_address(endpoint) : printable(endpoint.servers);
}

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
  chosen_servers(options.endpoint);  // a mistake in it is found before anything is allocated
  require_certificate_for_name(options.credentials);
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
  auto node = std::make_shared<Node>(node_options);
  node->add(pool);
  std::vector<Pool> check_pool;
  if (plan.check_blocks > 0) {
    pool_options.name = kCheckPoolName;
    const Geometry check{geometry.shape, plan.check_blocks, {}, {}};
    check_pool.push_back(allocate_pool(device.device, check, pool_options));
    node->add(check_pool.front());
  }
  std::vector<Server> servers = connect_servers(node, options, plan, context);
  Client client{std::move(device), std::move(pool), std::move(node), std::move(servers)};
  describe(client, geometry, context);
  return {std::move(client), std::move(check_pool)};
}

}  // namespace kvferry::cli
