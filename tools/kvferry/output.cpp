#include "output.hpp"

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

void Output::write(const std::string& text) {
  progress_.clear();
  // A reader that went away (kvferry pull | head) is its own business: the work goes on.
  std::fwrite(text.data(), 1, text.size(), text_);
  std::fputc('\n', text_);
  std::fflush(text_);
}

}  // namespace kvferry::cli
