#include "bench/command.hpp"

#include <CLI/CLI.hpp>

#include "kvferry/error.hpp"

namespace kvferry::cli {

CLI::App& add_bench(CLI::App& root, BenchOptions&) {
  return *root.add_subcommand("bench", "in work");
}

int run_bench(const BenchOptions&, const ToolContext&) {
  throw Error(ErrorCode::refused, "bench is being written");
}

}  // namespace kvferry::cli
