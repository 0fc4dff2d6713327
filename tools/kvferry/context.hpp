#pragma once

#include <functional>
#include <string_view>

#include "interrupts.hpp"
#include "kvferry/node.hpp"
#include "output.hpp"
#include "report.hpp"

namespace kvferry::cli {

// What every command works with. Borrowed from main, which outlives the commands.
struct Context {
  Output& out;
  const Interrupts& interrupts;
  RunReport& report;
  std::function<void(LogLevel, std::string_view)> log;
};

}  // namespace kvferry::cli
