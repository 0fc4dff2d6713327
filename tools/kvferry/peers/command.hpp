#pragma once

#include <string>

#include "registry_options.hpp"
#include "tool_context.hpp"

namespace kvferry::cli {

// What the user typed.
struct PeersOptions {
  RegistryFlags registry;
  bool watch = false;
  std::string interval = "1s";
  std::string json;
  bool debug = false;
};

CLI::App& add_peers(CLI::App& root, PeersOptions& options);
// Returns the exit code. Throws: Error.
int run_peers(const PeersOptions& options, const ToolContext& context);

}  // namespace kvferry::cli
