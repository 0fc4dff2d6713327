#pragma once

#include "tool_context.hpp"

namespace kvferry::cli::bench {

// `kvferry bench --worker`: a process full of clients. Reads a WorkerSpec from standard input,
// connects and checks a transfer to the byte, then runs Rounds until its input ends. Answers on
// standard output. Returns the exit code.
int run_worker(const ToolContext& context);

}  // namespace kvferry::cli::bench
