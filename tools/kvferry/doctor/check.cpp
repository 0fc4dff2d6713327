#include "doctor/check.hpp"

#include <algorithm>

namespace kvferry::cli::doctor {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::ok: return "ok";
    case State::note: return "note";
    case State::warning: return "warning";
    case State::problem: return "problem";
  }
  return "problem";
}

std::size_t Diagnosis::count(State state) const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(checks, [state](const Check& c) { return c.state == state; }));
}

}  // namespace kvferry::cli::doctor
