#pragma once

#include <fmt/format.h>

#include <cstdio>
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

 private:
  // Flushes: a line is worth nothing in a buffer when somebody waits for it.
  void write(const std::string& text);

  std::FILE* text_;
  Progress progress_;
};

}  // namespace kvferry::cli
