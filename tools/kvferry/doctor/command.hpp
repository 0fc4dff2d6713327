#pragma once

#include <cstdint>
#include <string>

#include "tool_context.hpp"

namespace CLI {
class App;
}

namespace kvferry::cli {

// What the user typed.
struct DoctorOptions {
  bool no_sharing = false;
  std::uint32_t max_gpus = 8;
  std::string timeout = "30s";
  std::string json;
  bool debug = false;
};

CLI::App& add_doctor(CLI::App& root, DoctorOptions& options);
// Returns the exit code: 0 healthy, 1 findings. Throws: Error.
int run_doctor(const DoctorOptions& options, const ToolContext& context);

}  // namespace kvferry::cli
