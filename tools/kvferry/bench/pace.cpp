#include <algorithm>

#include "bench/runner.hpp"

namespace kvferry::cli::bench {

Pace pace_for(const Work& work, const RunSettings& settings) {
  Pace pace;
  pace.budget = settings.per_work;
  pace.wanted = settings.repetitions;
  pace.least = std::min<std::size_t>(settings.repetitions, 11);
  if (work.group == Group::posting) {
    pace.warmups = 10;
    pace.wanted = settings.quick ? 100 : 500;
  } else if (work.small()) {
    pace.warmups = 20;
    pace.least = 100;
    pace.wanted = settings.quick ? 500 : 5000;
    pace.budget = 2 * settings.per_work;
  } else if (settings.quick && (work.group == Group::tcp || work.group == Group::ucx)) {
    // Slower than any other, and they are many: still enough for an interval.
    pace.warmups = 1;
    pace.least = pace.wanted = 7;
  }
  return pace;
}

}  // namespace kvferry::cli::bench
