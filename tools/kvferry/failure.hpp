#pragma once

#include <string>
#include <string_view>

#include "kvferry/error.hpp"
#include "report.hpp"

namespace kvferry::cli {

inline constexpr int kInterrupted = 130;

// The code as docs/json.md lists it: "invalid_argument", "deadline", ...
std::string_view json_code(ErrorCode code) noexcept;

// Says which deadline passed. `deadline` is as the user typed it; empty: nothing is added.
std::string name_deadline(std::string message, std::string_view deadline);

// What the program says, writes and exits with for this error.
Failure failure_of(const Error& error, std::string_view deadline);

}  // namespace kvferry::cli
