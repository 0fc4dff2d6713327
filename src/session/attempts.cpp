#include "session/attempts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kvferry::session {

void Attempts::Budget::refill(double most, double per_second, Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - seen).count();
  left = std::min(most, left + std::max(seconds, 0.0) * per_second);
  seen = now;
}

bool Attempts::Budget::spend() {
  if (left < 1) return false;
  left -= 1;
  return true;
}

bool Attempts::allowed(const std::string& source, Clock::time_point now) {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return true;
  Budget& budget = found->second.budget;
  budget.refill(kBurst, kPerSecond, now);
  return budget.left >= 1;
}

std::uint64_t Attempts::failed(const std::string& source, Clock::time_point now) {
  auto found = sources_.find(source);
  if (found == sources_.end()) {
    if (sources_.size() >= kMaxSources) {
      // Whoever was not heard of for longest; a flood from many places costs each its history only.
      sources_.erase(
          std::min_element(sources_.begin(), sources_.end(), [](const auto& a, const auto& b) {
            return a.second.budget.seen < b.second.budget.seen;
          }));
    }
    found = sources_.emplace(source, Source{{kBurst, now}, 0}).first;
  }
  Source& from = found->second;
  from.budget.refill(kBurst, kPerSecond, now);
  from.budget.spend();
  ++from.failures;
  log_.refill(kLogBurst, kLogPerSecond, now);
  return std::has_single_bit(from.failures) && log_.spend() ? from.failures : 0;
}

std::string Attempts::line_of(const std::string& text, const std::string& source,
                              Clock::time_point now) {
  const std::uint64_t count = failed(source, now);
  if (count == 0) return {};
  return count == 1 ? text : fmt::format("{} ({} such from {} by now)", text, count, source);
}

}  // namespace kvferry::session
