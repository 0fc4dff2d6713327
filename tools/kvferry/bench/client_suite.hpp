#pragma once

#include <string>

#include "bench/suite.hpp"

namespace kvferry::cli::bench {

// Two devices that blocks move between.
struct DevicePair {
  std::string link;  // "host", "same_gpu", "nvlink", "pcie_peer", "host_gpu"
  std::string server, client;
  bool sweeps = false;  // the first of its kind: everything is measured on it
};

// A scattered pull by the automatic method.
Work pair_work(Group group, const DevicePair& pair, std::uint64_t block_bytes, std::uint32_t blocks,
               std::uint32_t layers);

// Group `clients` of one pair of devices.
void add_client_works(const DevicePair& pair, const Topology& topology, bool quick, Suite& suite);

}  // namespace kvferry::cli::bench
