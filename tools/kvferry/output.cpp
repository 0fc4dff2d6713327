#include "output.hpp"

#include <cerrno>
#include <cstring>

namespace kvferry::cli {

Output::Output(std::FILE* text) : text_(text), progress_(Progress::for_terminal()) {}

void Output::field(std::string_view label, std::string_view text) {
  // Continuation lines (tables) start below the text, not below the label.
  std::string indented;
  for (const char c : text) {
    indented += c;
    if (c == '\n') indented.append(12, ' ');
  }
  line("  {:<10}{}", label, indented);
}

std::optional<std::string> Output::lost() const {
  if (lost_ == 0) return std::nullopt;
  return fmt::format("the output could not be written: {}", std::strerror(lost_));
}

void Output::write(const std::string& text) {
  progress_.clear();
  std::clearerr(text_);
  errno = 0;
  std::fwrite(text.data(), 1, text.size(), text_);
  std::fputc('\n', text_);
  // A reader that went away (kvferry serve | grep -m 1 ready) is its own business: the work goes
  // on.
  const bool failed = std::fflush(text_) != 0 || std::ferror(text_) != 0;
  if (failed && errno != EPIPE) lost_ = errno;
}

}  // namespace kvferry::cli
