#pragma once

#include "bench/client_suite.hpp"
#include "bench/suite.hpp"

namespace kvferry::cli::bench {

// Groups `tcp` and `ucx`: over loopback, between two processes.
void add_network_works(const Topology& topology, bool quick, Suite& suite);

}  // namespace kvferry::cli::bench
