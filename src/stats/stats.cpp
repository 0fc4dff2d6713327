#include "stats/stats.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::stats {
namespace {

constexpr double kTail = 0.025;  // of each side of a 95 % interval

// Two samples of n that do not overlap at all come about by chance in 2 of (2n choose n) orders: 10
// % with n = 3, 2.9 % with 4. With fewer nothing can be told from noise at 95 %.
constexpr std::size_t kLeastToTell = 4;

void require(bool holds, const char* what) {
  if (!holds) throw Error(ErrorCode::invalid_argument, std::string("statistics: ") + what);
}

// The interval goes from the sample of rank r (the smallest has 1) to that of rank n + 1 - r: the
// largest r with P(X < r) <= 2.5 % for X binomial with n trials and p = 1/2. 0: there is none.
std::size_t outer_rank(std::size_t n) {
  // P(X = i) by its logarithm: 2^-n itself is no double any more at n = 1075.
  double log_share = -static_cast<double>(n) * std::log(2.0);
  double below = 0;
  for (std::size_t i = 0; 2 * i < n; ++i) {
    below += std::exp(log_share);
    if (below > kTail) return i;
    log_share += std::log(static_cast<double>(n - i)) - std::log(static_cast<double>(i + 1));
  }
  return 0;  // not reached: half of the distribution is more than 2.5 % of it
}

}  // namespace

double quantile(std::span<const double> sorted, double q) {
  require(!sorted.empty(), "a quantile of no samples");
  require(q >= 0 && q <= 1, "a quantile outside 0 to 1");
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double part = at - static_cast<double>(below);
  // Not a + part * (b - a): between equal samples that may miss them by a rounding.
  return part == 0 ? sorted[below] : std::lerp(sorted[below], sorted[below + 1], part);
}

Interval median_interval(std::span<const double> sorted) {
  require(!sorted.empty(), "the median of no samples");
  const std::size_t n = sorted.size();
  const std::size_t rank = std::max<std::size_t>(outer_rank(n), 1);
  return {sorted[rank - 1], sorted[n - rank]};
}

Summary summarize(std::vector<double> samples) {
  require(!samples.empty(), "a summary of no samples");
  const bool finite = std::all_of(samples.begin(), samples.end(),
                                  [](double sample) { return std::isfinite(sample); });
  require(finite, "a sample that is no finite number");
  std::sort(samples.begin(), samples.end());
  return {.count = samples.size(),
          .median = quantile(samples, 0.5),
          .median_ci = median_interval(samples),
          .min = samples.front(),
          .max = samples.back(),
          .p99 = quantile(samples, 0.99),
          .p999 = quantile(samples, 0.999)};
}

Ratio paired_ratio(std::span<const double> ours, std::span<const double> reference) {
  require(!ours.empty(), "a ratio of no samples");
  require(ours.size() == reference.size(), "a ratio of samples that are not pairs");
  std::vector<double> ratios(ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    require(ours[i] > 0 && reference[i] > 0, "a ratio of times that are not positive");
    ratios[i] = reference[i] / ours[i];
  }
  std::sort(ratios.begin(), ratios.end());
  return {quantile(ratios, 0.5), median_interval(ratios)};
}

bool can_tell(const Summary& a, const Summary& b) noexcept {
  return std::min(a.count, b.count) >= kLeastToTell;
}

bool differ(const Summary& a, const Summary& b, double least) {
  const bool apart = a.median_ci.high < b.median_ci.low || b.median_ci.high < a.median_ci.low;
  return can_tell(a, b) && apart && std::abs(b.median - a.median) >= least * a.median;
}

}  // namespace kvferry::stats
