#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "bench/topology.hpp"
#include "memory/available_memory.hpp"
#include "path/tcp/net_threads.hpp"

namespace kvferry::cli::bench {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    // x86 says "model name", others "Model" or nothing.
    if (!line.starts_with("model name") && !line.starts_with("Model")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

Topology read_topology(const std::string& ucx_transports) {
  Topology topology;
  topology.host_bytes = memory::available_host_bytes().value_or(0);
  topology.cores = std::max(1u, std::thread::hardware_concurrency());
  topology.usual_streams = path::tcp::NetThreads(0).usual_streams();
  add_gpus(topology);
  add_network(topology, ucx_transports);
  return topology;
}

Machine describe_machine() {
  Machine machine;
  utsname system{};
  if (::uname(&system) == 0) {
    machine.host = system.nodename;
    machine.kernel = std::string(system.sysname) + " " + system.release;
  }
  machine.cpu = cpu_model();
  machine.cores = std::max(1u, std::thread::hardware_concurrency());
  machine.memory_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  add_gpus(machine);
  return machine;
}

double load_average() {
  double load = 0;
  return ::getloadavg(&load, 1) == 1 ? load : 0;
}

}  // namespace kvferry::cli::bench
