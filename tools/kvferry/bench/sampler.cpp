#include "bench/sampler.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>

namespace kvferry::cli::bench {

Samples sample(const Pace& pace, const std::vector<Measure>& measures,
               const std::function<bool()>& stop) {
  using Clock = std::chrono::steady_clock;
  Samples samples;
  samples.of.resize(measures.size());
  std::vector<std::size_t> order(measures.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<double> taken(measures.size());
  std::mt19937 random(5);
  const auto end = Clock::now() + pace.budget;
  for (std::size_t i = 0; i < pace.warmups + pace.wanted; ++i) {
    if (stop()) {
      samples.interrupted = true;
      break;
    }
    if (i >= pace.warmups + pace.least && Clock::now() >= end) break;
    // What runs first finds what ran last before it: over pairs of repetitions each is first as
    // often, and beyond that the order is random.
    if (i % 2 == 0) {
      std::ranges::shuffle(order, random);
    } else {
      std::ranges::reverse(order);
    }
    for (const std::size_t which : order) {
      if (pace.pause.count() > 0) std::this_thread::sleep_for(pace.pause);
      if (pace.before) pace.before();
      taken[which] = measures[which]();
    }
    if (i < pace.warmups) continue;
    for (std::size_t m = 0; m < measures.size(); ++m) samples.of[m].push_back(taken[m]);
  }
  return samples;
}

}  // namespace kvferry::cli::bench
