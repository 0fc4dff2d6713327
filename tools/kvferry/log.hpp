#pragma once

#include <functional>
#include <string_view>

#include "kvferry/node.hpp"

namespace kvferry::cli {

// Log lines to standard error, with time and level: warnings and errors, with `debug` everything.
// Thread-safe.
std::function<void(LogLevel, std::string_view)> make_log(bool debug);

}  // namespace kvferry::cli
