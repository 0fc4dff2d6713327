#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace kvferry::session {

// Failed attempts to get in, by where they came from. A source that fails often is turned away
// before anything is computed for it, and does not fill the log. Bounded; not thread-safe.
class Attempts {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr double kBurst = 20;      // failures at once
  static constexpr double kPerSecond = 10;  // and from then on
  static constexpr std::size_t kMaxSources = 1024;
  static constexpr double kLogBurst = 50;  // lines at once
  static constexpr double kLogPerSecond = 1;

  // Whether another attempt from there is worth a look now.
  bool allowed(const std::string& source, Clock::time_point now);
  // Counts one that failed. Returns how many failed from there by now, where that is worth a line
  // in the log: at 1, 2, 4, 8, ..., while the log has not had too many from everywhere; else 0.
  std::uint64_t failed(const std::string& source, Clock::time_point now);
  // The same, as that line: `text`, and behind the first how many such there were. Empty: none.
  std::string line_of(const std::string& text, const std::string& source, Clock::time_point now);

 private:
  // Spent one by one, and filled up as time passes.
  struct Budget {
    double left = 0;
    Clock::time_point seen{};
    void refill(double most, double per_second, Clock::time_point now);
    bool spend();
  };
  struct Source {
    Budget budget;
    std::uint64_t failures = 0;
  };

  std::map<std::string, Source> sources_;
  Budget log_{kLogBurst, {}};
};

}  // namespace kvferry::session
