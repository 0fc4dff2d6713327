#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "bench/topology.hpp"
#include "path/ucx/engine.hpp"

namespace kvferry::cli::bench {
namespace {

// As a shell finds it; empty: nowhere.
std::string find_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  for (std::string_view left = path != nullptr ? path : "/usr/bin:/bin"; !left.empty();) {
    const std::size_t end = std::min(left.find(':'), left.size());
    std::string file(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
    if (file.empty()) continue;
    file.append("/").append(name);
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace

void add_network(Topology& topology, const std::string& ucx_transports) {
  topology.iperf3 = find_program("iperf3");
  topology.no_ucx = path::ucx::make_engine({.transports = ucx_transports})->why_not();
}

}  // namespace kvferry::cli::bench
