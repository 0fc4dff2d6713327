// GPUs as a build without CUDA sees them: none, for a reason.
#include "bench/topology.hpp"
#include "kvferry/pool.hpp"

namespace kvferry::cli::bench {

void add_gpus(Topology& topology) { cuda_device_count(&topology.no_gpus); }
void add_gpus(Machine&) {}

}  // namespace kvferry::cli::bench
