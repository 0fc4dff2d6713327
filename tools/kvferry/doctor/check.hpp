#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvferry::cli::doctor {

// How it is with one thing. warning and problem are findings: they make the exit code 1.
enum class State : std::uint8_t {
  ok,
  note,     // worth knowing; nothing of kvferry suffers
  warning,  // something kvferry could do here will be slower, or fail in some cases
  problem   // something kvferry could do here does not work
};
std::string_view to_string(State state) noexcept;

struct Check {
  std::string area, name;
  State state = State::ok;
  std::string value;    // what there is
  std::string meaning;  // what follows from it; may be empty where all is well
  std::string advice;   // what to do; never empty for a finding
};

inline bool is_finding(const Check& check) noexcept { return check.state >= State::warning; }

// One thing that a path needs, and whether it is there.
struct Need {
  std::string what, has;
  bool met = false;
};
struct PathState {
  std::string path;
  bool usable = false;
  std::string between;  // which memories
  std::vector<Need> needs;
  std::string reason;  // in one sentence
};

struct Diagnosis {
  std::vector<Check> checks;
  std::vector<PathState> paths;

  std::size_t count(State state) const noexcept;
  std::size_t findings() const noexcept { return count(State::warning) + count(State::problem); }
};

}  // namespace kvferry::cli::doctor
