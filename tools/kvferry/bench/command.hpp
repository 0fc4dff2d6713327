#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tool_context.hpp"

namespace CLI {
class App;
}

namespace kvferry::cli {

// What the user typed.
struct BenchOptions {
  bool quick = false;
  std::string only;  // sections or keys; empty: everything
  std::uint32_t repetitions = 31;
  std::string seconds_per_case = "3s";
  bool list = false;  // says what would be measured
  std::string json, csv, html;
  std::string costs;                 // a calibration to use
  std::string congestion;            // of TCP connections
  std::string ucx_transports;        // that path ucx may use beside RDMA
  std::string calibrate;             // file to write a new calibration to
  std::vector<std::string> compare;  // two result files: compares, measures nothing
  bool debug = false;
  bool worker = false;  // not for users: a process full of clients, see bench/worker.hpp
};

CLI::App& add_bench(CLI::App& root, BenchOptions& options);
// Returns the exit code. Throws: Error.
int run_bench(const BenchOptions& options, const ToolContext& context);

}  // namespace kvferry::cli
