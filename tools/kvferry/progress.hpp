#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

namespace kvferry::cli {

// One line on a terminal that says how far long work is. Shown only once the work has taken a
// second; never where nobody watches. One thread.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // Draws on `stream`, `columns` wide; nullptr: nowhere.
  Progress(std::FILE* stream, unsigned columns);
  // On standard error if that is a terminal that can redraw a line.
  static Progress for_terminal();

  // A new piece of work: the bar waits its second again.
  void begin(std::string_view label);
  // `fraction` of it is done; draws at most ten times a second.
  void update(double fraction) { update(fraction, Clock::now()); }
  void update(double fraction, Clock::time_point now);
  // Work that cannot say how far it is: shows its label alone, at once.
  void note(std::string_view label);
  // Takes the bar off the screen.
  void clear();

 private:
  std::FILE* stream_;
  unsigned columns_;
  std::string label_;
  Clock::time_point started_{}, drawn_{};
  bool visible_ = false;
};

// "label  [#####.....]  50 %", at most `columns` wide.
std::string draw_bar(std::string_view label, double fraction, unsigned columns);

}  // namespace kvferry::cli
