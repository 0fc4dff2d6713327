#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

// How repetitions are taken: interleaved, in an order that changes, each after a pause.
namespace kvferry::cli::bench {

struct Pace {
  std::size_t warmups = 3;
  std::size_t least = 11;   // repetitions, however long they take
  std::size_t wanted = 31;  // unless the budget ends first
  std::chrono::duration<double> budget{3};
  // Before each measurement: what the one before leaves in queues and caches costs all alike.
  std::chrono::microseconds pause{200};
  // Done before each measurement too, where there is something to do.
  std::function<void()> before{};
};

// Does one measurement and returns seconds.
using Measure = std::function<double()>;

struct Samples {
  std::vector<std::vector<double>> of;  // as many for each measurement, by repetition
  bool interrupted = false;             // ended early; still as many for each
};

// Runs every measurement once a repetition, in another order each time. `stop` is asked between
// repetitions. Throws: what a measurement throws.
Samples sample(const Pace& pace, const std::vector<Measure>& measures,
               const std::function<bool()>& stop);

}  // namespace kvferry::cli::bench
