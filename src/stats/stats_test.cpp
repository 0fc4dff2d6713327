#include "stats/stats.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "kvferry/error.hpp"

namespace kvferry::stats {
namespace {

// 1, 2, ... n: a sample's value is its rank.
std::vector<double> ranks(std::size_t n) {
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

Interval rank_interval(std::size_t n) { return median_interval(ranks(n)); }

Summary of(Interval ci, double median, std::size_t count = 61) {
  Summary summary;
  summary.count = count;
  summary.median = median;
  summary.median_ci = ci;
  return summary;
}

// numpy.quantile(a, q) with its default method, which is R's type 7.
TEST(Quantile, AsNumPy) {
  const std::vector<double> a{1, 3, 4, 10, 20};
  EXPECT_DOUBLE_EQ(quantile(a, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(a, 0.1), 1.8);
  EXPECT_DOUBLE_EQ(quantile(a, 0.25), 3);
  EXPECT_DOUBLE_EQ(quantile(a, 0.5), 4);
  EXPECT_DOUBLE_EQ(quantile(a, 0.6), 6.4);
  EXPECT_DOUBLE_EQ(quantile(a, 0.9), 16);
  EXPECT_DOUBLE_EQ(quantile(a, 0.99), 19.6);
  EXPECT_DOUBLE_EQ(quantile(a, 1), 20);
}

TEST(Quantile, OfOneSampleIsThatSample) {
  const std::vector<double> one{7.5};
  for (const double q : {0.0, 0.3, 0.5, 0.999, 1.0}) EXPECT_EQ(quantile(one, q), 7.5);
}

TEST(Quantile, BetweenEqualSamplesIsExactlyThem) {
  const std::vector<double> same(11, 0.1);
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(quantile(same, i / 100.0), 0.1);
}

TEST(Quantile, NeverFallsAsQRises) {
  std::mt19937 random(1);
  std::vector<double> samples(97);
  for (double& sample : samples) sample = std::ldexp(static_cast<double>(random()), -40);
  std::sort(samples.begin(), samples.end());
  double last = samples.front();
  for (int i = 0; i <= 1000; ++i) {
    const double value = quantile(samples, i / 1000.0);
    EXPECT_GE(value, last);
    last = value;
  }
  EXPECT_EQ(last, samples.back());
}

TEST(Quantile, RefusesWhatHasNone) {
  EXPECT_THROW(quantile({}, 0.5), Error);
  const std::vector<double> one{1};
  EXPECT_THROW(quantile(one, -0.1), Error);
  EXPECT_THROW(quantile(one, 1.1), Error);
  EXPECT_THROW(quantile(one, std::numeric_limits<double>::quiet_NaN()), Error);
}

// The ranks from exact whole-number binomial sums: the largest r with
// sum of (n choose i) for i < r, times 1000, at most 25 * 2^n.
TEST(MedianInterval, ExactBinomialRanks) {
  struct Case {
    std::size_t n;
    double low, high;
  };
  for (const Case& c : {Case{6, 1, 6},
                        {7, 1, 7},
                        {8, 1, 8},
                        {9, 2, 8},
                        {10, 2, 9},
                        {11, 2, 10},
                        {15, 4, 12},
                        {20, 6, 15},
                        {25, 8, 18},
                        {30, 10, 21},
                        {40, 14, 27},
                        {50, 18, 33},
                        {61, 23, 39},
                        {100, 40, 61},
                        {101, 41, 61},
                        {1000, 469, 532},
                        {1001, 470, 532}}) {
    EXPECT_EQ(rank_interval(c.n), (Interval{c.low, c.high})) << c.n << " samples";
  }
}

TEST(MedianInterval, TheWholeRangeOfFewSamples) {
  for (std::size_t n = 1; n < 6; ++n) {
    EXPECT_EQ(rank_interval(n), (Interval{1, static_cast<double>(n)})) << n << " samples";
  }
}

// Beyond n = 1074 the probability of no success is no double; the ranks go on as the normal
// approximation has them: n/2 -+ 0.98 sqrt(n).
TEST(MedianInterval, ManySamples) {
  for (const std::size_t n : {2'000U, 100'000U, 1'000'000U}) {
    const Interval interval = rank_interval(n);
    const double half = static_cast<double>(n) / 2;
    const double spread = 0.97998 * std::sqrt(static_cast<double>(n));
    EXPECT_NEAR(interval.low, half - spread + 0.5, 1.5);
    EXPECT_EQ(interval.low + interval.high, static_cast<double>(n) + 1) << "it is symmetric";
  }
}

TEST(MedianInterval, HoldsTheMedianAndNarrows) {
  double last = 2;
  for (std::size_t n = 10; n < 3000; n = n * 3 / 2) {
    const Interval interval = rank_interval(n);
    const double median = quantile(ranks(n), 0.5);
    EXPECT_LT(interval.low, median);
    EXPECT_GT(interval.high, median);
    const double width = (interval.high - interval.low) / static_cast<double>(n);
    EXPECT_LT(width, last);
    last = width;
  }
}

TEST(MedianInterval, Ties) {
  const std::vector<double> same(61, 3.25);
  EXPECT_EQ(median_interval(same), (Interval{3.25, 3.25}));
  const std::vector<double> two{1, 1, 1, 1, 1, 1, 1, 1, 2, 2};
  EXPECT_EQ(median_interval(two), (Interval{1, 2}));
}

constexpr int kTrials = 20'000;

// What "95 %" promises, on skewed samples like those of latencies. The exact coverage of ranks r
// and n + 1 - r is 1 - 2 P(X < r), whatever the distribution.
TEST(MedianInterval, CoversTheMedianAsOftenAsItSays) {
  struct Case {
    std::size_t n;
    double exact;
  };
  std::mt19937_64 random(20'260'101);
  std::lognormal_distribution<double> times(0, 1.5);  // its median is 1
  for (const Case& c : {Case{6, 0.96875}, {10, 0.978516}, {25, 0.956715}, {61, 0.960383}}) {
    int covered = 0;
    std::vector<double> samples(c.n);
    for (int trial = 0; trial < kTrials; ++trial) {
      std::generate(samples.begin(), samples.end(), [&] { return times(random); });
      std::sort(samples.begin(), samples.end());
      const Interval interval = median_interval(samples);
      if (interval.low <= 1 && 1 <= interval.high) ++covered;
    }
    const double sigma = std::sqrt(c.exact * (1 - c.exact) / kTrials);
    EXPECT_NEAR(static_cast<double>(covered) / kTrials, c.exact, 4 * sigma) << c.n << " samples";
  }
}

TEST(Summary, OfUnsortedSamples) {
  std::vector<double> samples = ranks(1001);
  std::shuffle(samples.begin(), samples.end(), std::mt19937(3));
  const Summary summary = summarize(samples);
  EXPECT_EQ(summary.count, 1001U);
  EXPECT_EQ(summary.median, 501);
  EXPECT_EQ(summary.median_ci, (Interval{470, 532}));
  EXPECT_EQ(summary.min, 1);
  EXPECT_EQ(summary.max, 1001);
  EXPECT_DOUBLE_EQ(summary.p99, 991);
  EXPECT_DOUBLE_EQ(summary.p999, 1000);
}

TEST(Summary, OfOneSample) {
  const Summary summary = summarize({2.5});
  EXPECT_EQ(summary.count, 1U);
  for (const double value : {summary.median, summary.median_ci.low, summary.median_ci.high,
                             summary.min, summary.max, summary.p99, summary.p999}) {
    EXPECT_EQ(value, 2.5);
  }
}

TEST(Summary, RefusesWhatCannotBeOrdered) {
  EXPECT_THROW(summarize({}), Error);
  EXPECT_THROW(summarize({1, std::numeric_limits<double>::quiet_NaN()}), Error);
  EXPECT_THROW(summarize({1, std::numeric_limits<double>::infinity()}), Error);
}

TEST(PairedRatio, IsTheMedianOfRatiosNotTheRatioOfMedians) {
  const std::vector<double> ours{1, 2, 4};
  const std::vector<double> reference{1, 1, 8};
  const Ratio ratio = paired_ratio(ours, reference);  // 1, 0.5, 2
  EXPECT_DOUBLE_EQ(ratio.median, 1);
  EXPECT_EQ(ratio.ci, (Interval{0.5, 2}));
}

// A machine that is ten times slower for a while slows both sides of a pair.
TEST(PairedRatio, CancelsWhatBothSidesSuffer) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> slowdown(1, 10);
  std::vector<double> ours, reference;
  for (int i = 0; i < 61; ++i) {
    const double factor = slowdown(random);
    ours.push_back(100e-6 * factor);
    reference.push_back(92e-6 * factor);
  }
  const Ratio ratio = paired_ratio(ours, reference);
  EXPECT_NEAR(ratio.median, 0.92, 1e-12);
  EXPECT_NEAR(ratio.ci.low, 0.92, 1e-12);
  EXPECT_NEAR(ratio.ci.high, 0.92, 1e-12);
}

TEST(PairedRatio, RefusesWhatAreNoPairs) {
  const std::vector<double> one{1}, two{1, 2}, zero{0}, negative{-1};
  EXPECT_THROW(paired_ratio({}, {}), Error);
  EXPECT_THROW(paired_ratio(one, two), Error);
  EXPECT_THROW(paired_ratio(one, zero), Error);
  EXPECT_THROW(paired_ratio(negative, one), Error);
}

TEST(Differ, NeedsIntervalsApartAndAChangeWorthNaming) {
  const Summary before = of({99, 101}, 100);
  EXPECT_TRUE(differ(before, of({104, 106}, 105), 0.01));
  EXPECT_TRUE(differ(before, of({94, 96}, 95), 0.01)) << "either way";
  EXPECT_FALSE(differ(before, of({100.5, 106}, 105), 0.01)) << "they overlap";
  EXPECT_FALSE(differ(before, of({101, 106}, 105), 0.01)) << "they touch";
  EXPECT_FALSE(differ(before, of({101.4, 101.6}, 101.5), 0.02)) << "apart, but too little";
  EXPECT_TRUE(differ(before, of({101.9, 102.1}, 102), 0.02)) << "exactly the least";
  EXPECT_FALSE(differ(before, before, 0));
}

TEST(Differ, CannotTellWithFewSamples) {
  for (std::size_t n = 1; n <= 3; ++n) {
    EXPECT_FALSE(can_tell(of({1, 1}, 1, n), of({9, 9}, 9, 61)));
    EXPECT_FALSE(differ(of({1, 1}, 1, n), of({9, 9}, 9, 61), 0.01)) << n << " samples";
    EXPECT_FALSE(differ(of({1, 1}, 1, 61), of({9, 9}, 9, n), 0.01)) << n << " samples";
  }
  EXPECT_TRUE(differ(of({1, 1}, 1, 4), of({9, 9}, 9, 4), 0.01));
}

// Two runs of the same thing must hardly ever differ: the intervals of both would have to be wrong
// in opposite directions.
TEST(Differ, RarelyCriesWolf) {
  std::mt19937_64 random(99);
  std::normal_distribution<double> times(100, 5);
  const auto run = [&] {
    std::vector<double> samples(25);
    std::generate(samples.begin(), samples.end(), [&] { return times(random); });
    return summarize(samples);
  };
  int differing = 0;
  for (int trial = 0; trial < 5'000; ++trial) differing += differ(run(), run(), 0) ? 1 : 0;
  EXPECT_LT(differing, 5'000 / 100);
}

}  // namespace
}  // namespace kvferry::stats
