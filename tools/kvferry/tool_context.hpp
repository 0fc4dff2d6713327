#pragma once

#include <functional>
#include <string_view>

#include "interrupts.hpp"
#include "kvferry/node.hpp"
#include "output.hpp"

namespace kvferry::cli {

// What the commands that tell about a machine (bench, doctor, plan) work with. Borrowed from main,
// which outlives them.
struct ToolContext {
  Output& out;
  const Interrupts& interrupts;
  std::function<void(LogLevel, std::string_view)> log;
};

}  // namespace kvferry::cli
