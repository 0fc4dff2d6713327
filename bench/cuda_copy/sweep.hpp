#pragma once

#include <string>

#include "kvferry/pool.hpp"

namespace kvferry::bench {

// Times kernel shapes between two devices, each launch on its own, and prints the best, for tuning.
void sweep_pair(const std::string& name, Device remote, Device local);

}  // namespace kvferry::bench
