#include "servers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "client.hpp"
#include "kvferry/error.hpp"
#include "option_error.hpp"
#include "quote.hpp"
#include "registry/record.hpp"
#include "wire/text.hpp"

namespace kvferry::cli {
namespace {

[[noreturn]] void bad(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

ServerChoice parse_server(std::string_view piece) {
  if (piece.empty()) bad("a server between the commas is empty");
  if (piece.find(':') != piece.npos) {
    registry::check_address(piece);
    return {std::string(piece), true};
  }
  if (!wire::is_name(piece))
    bad(
        fmt::format("{} is neither a name (1 to 64 of [A-Za-z0-9._-]) nor an address (host:port, "
                    "[v6]:port, unix:PATH)",
                    quote(piece)));
  return {std::string(piece), false};
}

}  // namespace

std::vector<ServerChoice> parse_servers(std::string_view text) {
  std::vector<ServerChoice> servers;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    ServerChoice server = parse_server(text.substr(at, comma - at));
    const bool twice = std::any_of(servers.begin(), servers.end(),
                                   [&](const auto& other) { return other.text == server.text; });
    if (twice) bad(quote(server.text) + " comes twice; name each server once");
    servers.push_back(std::move(server));
    at = comma + 1;
  }
  if (servers.size() > kMaxServers)
    bad(fmt::format("{} servers are named, at most {} can be", servers.size(), kMaxServers));
  return servers;
}

std::vector<ServerChoice> chosen_servers(const EndpointOptions& endpoint) {
  if (endpoint.servers.empty()) return {{server_address(endpoint), true}};
  auto servers =
      naming_option(endpoint.servers_option, [&] { return parse_servers(endpoint.servers); });
  const auto name = std::find_if(servers.begin(), servers.end(),
                                 [](const ServerChoice& server) { return !server.is_address; });
  if (name != servers.end() && endpoint.registry.url.empty())
    bad(fmt::format(
        "{} {}: a name is looked up in a registry; give --registry etcd://HOST:2379 (or "
        "set {}), or an address like 10.0.0.1:5555",
        endpoint.servers_option, name->text, kRegistryVariable));
  return servers;
}

Share share_of(std::size_t i, std::size_t k, std::size_t n) { return {n * i / k, n * (i + 1) / k}; }

}  // namespace kvferry::cli
