#pragma once

#include <string>

#include "tool_context.hpp"

namespace CLI {
class App;
}

namespace kvferry::cli {

// What the user typed.
struct PlanOptions {
  std::string model;
  std::string json;
};

CLI::App& add_plan(CLI::App& root, PlanOptions& options);
// Returns the exit code. Throws: Error.
int run_plan(const PlanOptions& options, const ToolContext& context);

}  // namespace kvferry::cli
