#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

// The servers that a client command goes to: one of --ip and --port, or those of --from or --to.
namespace kvferry::cli {

inline constexpr std::size_t kMaxServers = 64;

// One entry of the list, as typed.
struct ServerChoice {
  std::string text;
  bool is_address = false;  // else a name, to be looked up
};

// "prefill-0,10.0.0.1:5555,unix:/a": what holds a colon is an address. Throws:
// Error{invalid_argument} for one that is empty, comes twice, or is neither.
std::vector<ServerChoice> parse_servers(std::string_view text);

// At least one. Throws: as parse_servers, naming the option; Error{invalid_argument} for a name
// without a registry.
std::vector<ServerChoice> chosen_servers(const EndpointOptions& endpoint);

// The share of server i when n blocks are split among k servers in order: [begin, end).
struct Share {
  std::size_t begin = 0, end = 0;
};
Share share_of(std::size_t i, std::size_t k, std::size_t n);

}  // namespace kvferry::cli
