#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kvferry/registry.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace kvferry::cli {

// --registry and what it needs.
struct RegistryFlags {
  std::string url, ca, cert, key;
};

inline constexpr const char* kRegistryVariable = "KVFERRY_REGISTRY";

// Adds the options; returns that of the URL.
CLI::Option& add_registry(CLI::App& app, RegistryFlags& flags, const char* group);
// Whether the URL is the environment's rather than typed.
bool is_from_environment(const RegistryFlags& flags);
// Throws: Error{invalid_argument} naming the option; Error{resource} (no libcurl). Requires: a URL.
Registry open_registry(const RegistryFlags& flags,
                       const std::function<void(LogLevel, std::string_view)>& log);
// The URL without its password; empty: none.
std::string shown_registry(const RegistryFlags& flags);

}  // namespace kvferry::cli
