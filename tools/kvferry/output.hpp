#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "progress.hpp"

namespace kvferry::cli {

// Lines for people, on standard output, or on standard error where standard output is for JSON, and
// the bar that must not get in their way. One thread.
class Output {
 public:
  explicit Output(std::FILE* text);

  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    write(fmt::format(format, std::forward<Args>(args)...));
  }
  // "label     text", labels in one column.
  void field(std::string_view label, std::string_view text);
  Progress& progress() noexcept { return progress_; }
  // Why lines are missing from the output (disk full), where some are.
  std::optional<std::string> lost() const;

 private:
  // Flushes: a line is worth nothing in a buffer when somebody waits for it.
  void write(const std::string& text);

  std::FILE* text_;
  int lost_ = 0;  // errno
  Progress progress_;
};

}  // namespace kvferry::cli
