#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include "client.hpp"
#include "commands.hpp"
#include "geometry_table.hpp"
#include "kvferry/error.hpp"
#include "kvferry/registry.hpp"
#include "option_error.hpp"
#include "pattern_work.hpp"
#include "peer_events.hpp"
#include "quote.hpp"
#include "servers.hpp"
#include "socket_path.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using Clock = LineBudget::Clock;
using namespace std::chrono_literals;

// A table's lines stand below the text of the event, not below its name.
std::string indented(const std::string& message) {
  std::string out;
  for (const char c : printable(message)) {
    out += c;
    if (c == '\n') out.append(14, ' ');
  }
  return out;
}

// What was said, without the peer's name in front of it, which the line has already.
std::string without_name(const PeerEvent& event) {
  const bool named = !event.peer.empty() && event.message.starts_with(event.peer + ' ');
  return named ? event.message.substr(event.peer.size() + 1) : event.message;
}

void print_event(const PeerEvent& event, Output& out) {
  const std::string peer = printable(event.peer);
  switch (event.kind) {
    case PeerEvent::Kind::connected:
      out.line("connected     {}{}{}", peer, event.message.empty() ? "" : ": ",
               printable(event.message));
      break;
    case PeerEvent::Kind::refused:
      out.line("refused       {}: {}", peer, indented(with_option_names(event.message)));
      break;
    case PeerEvent::Kind::disconnected:
      out.line("disconnected  {}{}{}", peer, event.message.empty() ? "" : ": ",
               printable(without_name(event)));
      break;
    case PeerEvent::Kind::served:
      out.line("served        {}: {} of {} ({}) over {} in {}, {}", peer,
               to_string(event.direction), counted(event.blocks, "block"),
               format_bytes(event.bytes), printable(event.path), format_seconds(event.seconds),
               format_rate(gb_per_s(event.bytes, event.seconds)));
  }
}

// Clients that come and go are not lost among the lines of what they move.
struct Budgets {
  LineBudget clients, transfers;

  bool waiting() const noexcept { return clients.waiting() || transfers.waiting(); }
};

void print_waiting(PeerEvents& queue, Budgets& budgets, Output& out) {
  const Clock::time_point now = Clock::now();
  if (const std::uint64_t count = budgets.transfers.suppressed(now); count > 0) {
    out.line("... and {} more", counted(count, "transfer"));
  }
  if (const std::uint64_t count = budgets.clients.suppressed(now); count > 0) {
    out.line("... and {} more connections, refusals and disconnections", format_count(count));
  }
  const PeerEvents::Batch batch = queue.take();
  for (const PeerEvent& event : batch.events) {
    const bool served = event.kind == PeerEvent::Kind::served;
    if ((served ? budgets.transfers : budgets.clients).admit(now)) print_event(event, out);
  }
  // Hardly anything but transfers comes in such numbers.
  budgets.transfers.suppress(batch.dropped);
}

void print_until_interrupted(PeerEvents& queue, Context& context) {
  Budgets budgets;
  while (!context.interrupts.requested()) {
    std::array<pollfd, 2> fds{{{context.interrupts.fd(), POLLIN, 0}, {queue.fd(), POLLIN, 0}}};
    // A pause only while lines wait for their second to end.
    if (::poll(fds.data(), fds.size(), budgets.waiting() ? 200 : -1) < 0 && errno != EINTR) break;
    print_waiting(queue, budgets, context.out);
  }
}

void print_totals(const Totals& totals, const Context& context) {
  context.out.line("{}: served {} ({}, {}), {}, to {}; refused {}",
                   context.interrupts.requested() ? context.interrupts.name() : "ended",
                   counted(totals.pulls + totals.pushes, "transfer"), counted(totals.pulls, "pull"),
                   counted(totals.pushes, "push", "pushes"), format_bytes(totals.bytes),
                   counted(totals.clients, "client"), format_count(totals.refused));
}

Pool make_pool(const ServeOptions& options, const Geometry& geometry, Device device,
               Context& context) {
  PoolOptions pool_options;
  pool_options.name = kPoolName;
  pool_options.tag = "fill=" + options.fill;
  pool_options.writable = options.writable;
  context.out.progress().note("allocating " + format_bytes(geometry.pool_bytes()));
  Pool pool = allocate_pool(device, geometry, pool_options);
  PatternWork(context.out, context.interrupts)
      .fill(pool, whole_pool(geometry.blocks, parse_fill(options.fill), 0), {}, "filling the pool");
  return pool;
}

// [::1], as clients and URLs write it, is ::1.
std::string without_brackets(const std::string& ip) {
  const bool has = ip.starts_with('[') && ip.ends_with(']');
  return has ? ip.substr(1, ip.size() - 2) : ip;
}

ListenOptions listen_options(const ServeOptions& options) {
  ListenOptions listen;
  listen.ip = without_brackets(options.endpoint.ip);
  listen.port = options.endpoint.port;
  listen.insecure = options.credentials.insecure;
  listen.permissions = parse_permissions(options.credentials.permits);
  for (const Permission& permission : listen.permissions)
    for (const std::string& pool : permission.pools)
      if (pool != kPoolName)
        throw Error(
            ErrorCode::invalid_argument,
            fmt::format("--permit {}: there is no pool '{}' here; this server has one, '{}'",
                        printable(permission.credential), printable(pool), kPoolName));
  if (!options.endpoint.socket.empty()) require_safe_directory(options.endpoint.socket);
  listen.socket_path = options.endpoint.socket;
  if (listen.socket_path.empty()) {
    listen.socket_path = default_socket_path(read_surroundings(), options.endpoint.port);
    remove_abandoned_sockets(listen.socket_path);
  }
  return listen;
}

// One that others cannot use is better refused here than found useless there.
std::vector<std::string> advertised(const std::string& text) {
  std::vector<std::string> addresses;
  if (text.empty()) return addresses;
  naming_option("--advertise", [&] {
    for (const ServerChoice& choice : parse_servers(text)) {
      if (!choice.is_address)
        throw Error(ErrorCode::invalid_argument, quote(choice.text) + " is no host:port");
      addresses.push_back(choice.text);
    }
  });
  return addresses;
}

// etcd counts leases in whole seconds.
std::chrono::seconds parse_lease(const std::string& text) {
  return naming_option("--lease", [&] {
    const auto lease = parse_duration(text);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(lease);
    if (whole != lease || whole < 1s || whole > 1h)
      throw Error(ErrorCode::invalid_argument,
                  quote(text) + " is no lease; give 1s to 1h, in whole seconds");
    return whole;
  });
}

// Finds mistakes in the options of the registry, before anything is allocated.
void check_registry(const ServeOptions& options, Context& context) {
  const RegistryFlags& registry = options.endpoint.registry;
  advertised(options.advertise);
  parse_lease(options.lease);
  if (!options.name.empty() && !registry.url.empty()) return;
  if (!options.advertise.empty())
    throw Error(ErrorCode::invalid_argument, "--advertise needs --name and --registry");
  if (registry.url.empty()) return;
  if (!is_from_environment(registry))
    throw Error(ErrorCode::invalid_argument,
                "--registry needs --name, by which clients find this server");
  context.out.line("note: not registered: {} is set, but there is no --name", kRegistryVariable);
}

std::optional<Announcement> announce(const ServeOptions& options, const Node& node,
                                     Context& context) {
  const RegistryFlags& flags = options.endpoint.registry;
  if (options.name.empty() || flags.url.empty()) return std::nullopt;
  const Registry registry = open_registry(flags, context.log);
  AnnounceOptions announce_options;
  announce_options.name = options.name;
  announce_options.addresses = advertised(options.advertise);
  announce_options.time_to_live = parse_lease(options.lease);
  Announcement announcement = registry.announce(node, announce_options);
  context.out.line("registered    {} at {} in {}", announcement.name(),
                   fmt::join(announcement.addresses(), ", "), registry.url());
  return announcement;
}

}  // namespace

void run_serve(const ServeOptions& options, Context& context) {
  const Geometry geometry = resolve_geometry(options.geometry);
  if (!geometry.dtype_note.empty()) context.out.line("note: {}", geometry.dtype_note);
  check_registry(options, context);
  const ListenOptions listen = listen_options(options);
  const DeviceChoice device = choose_device(options.device);
  const Pool pool = make_pool(options, geometry, device.device, context);
  PeerEvents queue;  // outlives the node, which calls it
  {
    NodeOptions node_options;
    node_options.name = options.name.empty() ? "serve" : options.name;
    node_options.log = context.log;
    node_options.network = network_of(options.network, true);
    node_options.ucx = options.ucx;
    node_options.credentials = options.credentials.files;
    node_options.max_notices = 0;  // clients' words for an application, which this is not
    node_options.on_event = [&queue](const PeerEvent& event) { queue.push(event); };
    Node node(node_options);
    node.add(pool);
    node.listen(listen);
    if (!device.why.empty()) context.out.line("device: {}", device.why);
    if (!options.credentials.files.empty())
      context.out.line(
          "access: by credential over the network; processes of this user on this host, which meet "
          "on the Unix socket, need none");
    // Before the line that says so: whoever waits for it may go by the name.
    const auto announcement = announce(options, node, context);
    const std::string tcp = server_address({.ip = listen.ip, .port = node.port(), .socket = {}});
    context.out.line("ready: {}; {} of {} in each layer, {} on {}, fill={}, {}; at {} and unix:{}",
                     geometry.shape.to_string(), counted(geometry.blocks, "block"),
                     format_bytes(geometry.shape.block_bytes()),
                     format_bytes(geometry.pool_bytes()), device.device.to_string(), options.fill,
                     options.writable ? "writable" : "read-only", tcp, listen.socket_path);
    print_until_interrupted(queue, context);
  }
  Budgets budgets;
  print_waiting(queue, budgets, context.out);
  print_totals(queue.totals(), context);
}

}  // namespace kvferry::cli
