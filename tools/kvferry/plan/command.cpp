#include "plan/command.hpp"

#include <CLI/CLI.hpp>

#include "kvferry/error.hpp"

namespace kvferry::cli {

CLI::App& add_plan(CLI::App& root, PlanOptions&) { return *root.add_subcommand("plan", "in work"); }

int run_plan(const PlanOptions&, const ToolContext&) {
  throw Error(ErrorCode::refused, "plan is being written");
}

}  // namespace kvferry::cli
