#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "failure.hpp"
#include "kvferry/registry.hpp"

namespace kvferry::cli::peers {

using TimePoint = std::chrono::system_clock::time_point;

// What the registry said, and when.
struct Snapshot {
  std::string registry;
  std::vector<RegisteredPeer> peers;
  TimePoint at{};
};

// A table: one line a pool, or one for a server without any.
std::string to_text(const Snapshot& snapshot);
// The document docs/json.md describes, without a line break at its end. `indent`: -1 for one line.
std::string to_json(const Snapshot& snapshot, const std::optional<Failure>& failure, int indent);
// Equal for two snapshots that a watcher has no reason to tell apart: ages and loads are left out.
std::string essence(const Snapshot& snapshot);
// "12 s", "3 min", "5 h", "9 d".
std::string format_age(std::chrono::seconds age);

}  // namespace kvferry::cli::peers
