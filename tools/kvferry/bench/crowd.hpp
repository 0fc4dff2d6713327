#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/result.hpp"
#include "interrupts.hpp"

namespace kvferry::cli::bench {

struct RunSettings;

// Clients in processes of their own, and the servers they share.
struct CrowdSpec {
  const Work& work;
  std::vector<std::string> addresses;
  std::uint32_t server_blocks = 0;
  const Interrupts& interrupts;
  bool takes_turns = false;  // processes on the GPU that copies do
};

// The rate of all clients together, in rounds that take turns with rounds of one of them alone.
// Throws: Error{failed} when a client found wrong bytes, Error{cancelled}, Error{resource}.
Figure measure_crowd(const CrowdSpec& spec, const RunSettings& settings,
                     const std::function<bool()>& stop);

}  // namespace kvferry::cli::bench
