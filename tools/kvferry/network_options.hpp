#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/node.hpp"
#include "kvferry/transfer.hpp"

namespace CLI {
class App;
}

// How blocks move over networks: the options of --path tcp.
namespace kvferry::cli {

struct NetworkCommandOptions {
  std::uint32_t streams = 0;
  bool checksum = false;
  std::string congestion;  // empty: what suits
  std::string rate;        // empty: no limit
};

// Those of pull and push.
void add_move_network(CLI::App& app, NetworkCommandOptions& options);
// Those of serve: what it sends, to all clients together.
void add_serve_network(CLI::App& app, NetworkCommandOptions& options);
// Throws: Error{invalid_argument} naming the option.
NetworkOptions network_of(const NetworkCommandOptions& options, bool serves);
// The options given that matter to path tcp alone.
std::vector<std::string> given_for_tcp(const NetworkCommandOptions& options);
// What each transfer is told; the number of streams is its node's.
void apply(const NetworkCommandOptions& options, TransferOptions& transfer);

// "500M", "1.5G", "2GB/s", "900000": bytes a second, K, M and G being powers of 1000. From 1,000 to
// 10^13. Throws: Error{invalid_argument} quoting the text.
std::uint64_t parse_rate(std::string_view text);

}  // namespace kvferry::cli
