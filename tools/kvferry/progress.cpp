#include "progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace kvferry::cli {

using namespace std::chrono_literals;

Progress::Progress(std::FILE* stream, unsigned columns)
    : stream_(stream), columns_(columns), started_(Clock::now()) {}

Progress Progress::for_terminal() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables
  const char* const kind = std::getenv("TERM");
  if (::isatty(STDERR_FILENO) == 0 || kind == nullptr || std::string_view(kind) == "dumb") {
    return Progress(nullptr, 0);
  }
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return Progress(stderr, known ? size.ws_col : 80u);
}

void Progress::begin(std::string_view label) {
  clear();
  label_ = label;
  started_ = Clock::now();
}

void Progress::update(double fraction, Clock::time_point now) {
  if (stream_ == nullptr || now - started_ < 1s || (visible_ && now - drawn_ < 100ms)) return;
  // One column less: a full line would wrap on some terminals.
  const std::string bar = draw_bar(label_, fraction, columns_ - 1);
  fmt::print(stream_, "\r{}\x1b[K", bar);
  std::fflush(stream_);
  drawn_ = now;
  visible_ = true;
}

void Progress::note(std::string_view label) {
  begin(label);
  if (stream_ == nullptr) return;
  fmt::print(stream_, "\r{} ...\x1b[K", label.substr(0, columns_ > 5 ? columns_ - 5 : 0));
  std::fflush(stream_);
  visible_ = true;
}

void Progress::clear() {
  if (!visible_) return;
  fmt::print(stream_, "\r\x1b[K");
  std::fflush(stream_);
  visible_ = false;
}

std::string draw_bar(std::string_view label, double fraction, unsigned columns) {
  constexpr unsigned kBar = 24;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const auto done = static_cast<unsigned>(fraction * kBar);
  std::string text = fmt::format("{}  [{}{}] {:3.0f} %", label, std::string(done, '#'),
                                 std::string(kBar - done, '.'), fraction * 100);
  if (text.size() > columns) text.resize(columns);
  return text;
}

}  // namespace kvferry::cli
