#include "session/attempts.hpp"

#include <algorithm>
#include <bit>

namespace kvferry::session {

void Attempts::refill(Source& source, Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - source.seen).count();
  source.budget = std::min(kBurst, source.budget + std::max(seconds, 0.0) * kPerSecond);
  source.seen = now;
}

bool Attempts::allowed(const std::string& source, Clock::time_point now) {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return true;
  refill(found->second, now);
  return found->second.budget >= 1;
}

std::uint64_t Attempts::failed(const std::string& source, Clock::time_point now) {
  auto found = sources_.find(source);
  if (found == sources_.end()) {
    if (sources_.size() >= kMaxSources) {
      // Whoever was not heard of for longest; a flood from many places costs each its history only.
      sources_.erase(std::min_element(
          sources_.begin(), sources_.end(),
          [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; }));
    }
    found = sources_.emplace(source, Source{}).first;
    found->second.seen = now;
  }
  Source& from = found->second;
  refill(from, now);
  from.budget = std::max(0.0, from.budget - 1);
  ++from.failures;
  return std::has_single_bit(from.failures) ? from.failures : 0;
}

}  // namespace kvferry::session
