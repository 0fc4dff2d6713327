#pragma once

#include <cstddef>
#include <span>
#include <vector>

// The statistics of the benchmarks: medians with distribution-free confidence intervals, no
// best-of. Pure. What is required and does not hold throws Error{invalid_argument}.
namespace kvferry::stats {

// A 95 % confidence interval.
struct Interval {
  double low = 0, high = 0;
  friend bool operator==(const Interval&, const Interval&) = default;
};

struct Summary {
  std::size_t count = 0;
  double median = 0;
  Interval median_ci;  // by order statistics; with fewer than 6 samples the whole range, which is
                       // less than 95 %
  double min = 0, max = 0, p99 = 0, p999 = 0;
};

// The q-quantile by linear interpolation between order statistics (Hyndman & Fan 1996, type 7: what
// NumPy and R do). Requires: sorted ascending, not empty, 0 <= q <= 1.
double quantile(std::span<const double> sorted, double q);

// 95 % confidence interval of the median from order statistics: the sign test inverted, ranks from
// the binomial distribution with p = 1/2 (Conover, Practical Nonparametric Statistics, 3.2).
// Requires: sorted ascending, not empty.
Interval median_interval(std::span<const double> sorted);

// Requires: not empty.
Summary summarize(std::vector<double> samples);

// The median of pairwise ratios reference[i] / ours[i] of interleaved repetitions, and its
// interval: what makes a noisy machine cancel out. Requires: the same length, not empty, all
// positive.
struct Ratio {
  double median = 0;
  Interval ci;
};
Ratio paired_ratio(std::span<const double> ours, std::span<const double> reference);

// Whether both have samples enough (4) for a difference to be told from noise at all.
bool can_tell(const Summary& a, const Summary& b) noexcept;

// Whether two medians differ beyond noise: can_tell(), their intervals are apart, and the change is
// at least `least` of a's (0.01: 1 %).
bool differ(const Summary& a, const Summary& b, double least);

}  // namespace kvferry::stats
