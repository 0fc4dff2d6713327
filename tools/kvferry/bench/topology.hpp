#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/result.hpp"

namespace kvferry::cli::bench {

// What a benchmark of this machine can use: plain values, so that the suite can be tested without
// any of it.
struct Topology {
  struct Gpu {
    std::string device;  // "cuda:0"
    std::uint32_t sms = 0;
    std::uint64_t free_bytes = 0;
    bool mps = false;  // processes run on it side by side
  };
  // How the memory of one GPU is reached from another; "" where it is not, and why.
  struct PeerLink {
    std::size_t from = 0, to = 0;  // indices into gpus
    std::string link;              // "nvlink", "pcie_peer", ""
    std::string why;
  };
  std::vector<Gpu> gpus;
  std::vector<PeerLink> peers;              // of every ordered pair
  std::string no_gpus;                      // why gpus is empty
  std::uint64_t host_bytes = 0;             // memory that can still be taken
  unsigned cores = 1;                       // that this process may use
  unsigned usual_streams = 2;               // over tcp, of a transfer that names no number
  std::string iperf3{};                     // that program; empty: it is not installed
  std::string no_ucx{"nobody has looked"};  // why path ucx cannot be measured; empty: it can
};

// This machine, as it is now, with what UCX may use there as UcxOptions::transports.
// Throws: Error{resource}.
Topology read_topology(const std::string& ucx_transports);
void add_network(Topology& topology, const std::string& ucx_transports);
Machine describe_machine();
// Average number of running processes in the last minute; 0 where nobody says.
double load_average();

// The CUDA halves, in cuda_machine.cpp and machine_none.cpp.
void add_gpus(Topology& topology);
void add_gpus(Machine& machine);

}  // namespace kvferry::cli::bench
