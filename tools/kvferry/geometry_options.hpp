#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace kvferry::cli {

// Each field only where it was given: it overrides the model's, or else the default shape's.
struct GeometryOptions {
  std::string model;
  std::optional<std::uint32_t> layers, kv, heads, dims, block_tokens;
  std::optional<std::string> dtype;
  std::string available_memory = "4";
};

// All but --available-memory, whose text is each command's own.
void add_geometry(CLI::App& app, GeometryOptions& options, const char* group);

}  // namespace kvferry::cli
