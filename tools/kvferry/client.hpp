#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "context.hpp"
#include "geometry.hpp"
#include "kvferry/node.hpp"

namespace kvferry::cli {

// A connection, and the server's pool of our pool's name.
struct Server {
  std::string label;  // as typed: a name or an address
  Peer peer;
  RemotePool remote;
};

// A pool of ours and who is to be talked to.
struct Client {
  DeviceChoice device;
  Pool pool;
  std::shared_ptr<Node> node;   // after the pool: closed before the pool goes
  std::vector<Server> servers;  // at least one

  // Of a command that goes to one.
  const Server& server() const { return servers.front(); }
  // Ids are for every server.
  std::uint32_t remote_blocks() const;
};

struct ClientPlan {
  std::string name;  // of this node, for the server to show
  Geometry geometry;
  // Blocks of a second pool, "kv-check", for reading pushed blocks back; 0: none.
  std::uint32_t check_blocks = 0;
  std::optional<std::chrono::nanoseconds> deadline{};  // the user's own, if there is one
};
inline constexpr const char* kPoolName = "kv";
inline constexpr const char* kCheckPoolName = "kv-check";

struct ConnectedClient {
  Client client;
  std::vector<Pool> check_pool;  // one, or none
};

// Allocates, connects, tells the person and fills the report. Throws: Error{resource} (memory,
// GPU), Error{unreachable}, Error{deadline} (only the user's own), Error{refused} (geometry, with
// the table; no pool of that name).
ConnectedClient connect_client(const PoolCommandOptions& options, const ClientPlan& plan,
                               Context& context);

// Of --ip and --port, or --socket: "unix:PATH", "HOST:PORT", "[V6]:PORT".
std::string server_address(const EndpointOptions& endpoint);
// Where the command goes, for a person to read.
std::string where_to(const EndpointOptions& endpoint);

// A stranger's text for a terminal: control characters but line breaks become '?'.
std::string printable(std::string text);

}  // namespace kvferry::cli
