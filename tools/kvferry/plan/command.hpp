#pragma once

#include <string>

#include "geometry_options.hpp"
#include "tool_context.hpp"

namespace CLI {
class App;
}

namespace kvferry::cli {

// What the user typed.
struct PlanOptions : GeometryOptions {
  std::string tokens = "1024";
  std::string links;     // empty: the usual ones
  std::string gb_per_s;  // empty: no link of the user's own
  std::string start_us;  // empty: 0
  std::string json;
};

CLI::App& add_plan(CLI::App& root, PlanOptions& options);
// Returns the exit code. Throws: Error.
int run_plan(const PlanOptions& options, const ToolContext& context);

}  // namespace kvferry::cli
