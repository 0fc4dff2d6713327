#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "tool_context.hpp"

namespace kvferry::cli::doctor {

struct SharingOptions {
  std::chrono::milliseconds timeout{30'000};  // of one step: starting a process, one pair
  unsigned max_gpus = 8;                      // the first so many take part
};

// The GPUs as the driver tells, asked in a process of its own, which a driver that hangs can be
// left to. Throws: Error{cancelled}.
GpuFacts ask_for_gpus(const SharingOptions& options, const ToolContext& context);

// Moves blocks between processes on every pair of memories: host, and each GPU. One process serves
// each memory; then one process for each moves blocks to and from all of them. All of them, and the
// sockets between them, are gone when it returns, also by an exception. Throws: Error{cancelled}
// once interrupted.
SharingFacts test_sharing(const GpuFacts& gpus, const SharingOptions& options,
                          const ToolContext& context);

}  // namespace kvferry::cli::doctor
