#include "bench/sampler.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace kvferry::cli::bench {
namespace {

using namespace std::chrono_literals;

Pace fast(std::size_t warmups, std::size_t least, std::size_t wanted) {
  Pace pace;
  pace.warmups = warmups;
  pace.least = least;
  pace.wanted = wanted;
  pace.budget = 100s;
  pace.pause = 0us;
  return pace;
}

const auto never = [] { return false; };

TEST(Sampler, warm_ups_are_left_out) {
  int runs = 0;
  const Samples samples = sample(fast(3, 5, 10), {[&] { return double(++runs); }}, never);
  EXPECT_EQ(runs, 13);
  ASSERT_EQ(samples.of.size(), 1u);
  EXPECT_EQ(samples.of[0].size(), 10u);
  EXPECT_EQ(samples.of[0].front(), 4.0);
  EXPECT_FALSE(samples.interrupted);
}

TEST(Sampler, each_runs_once_a_repetition_and_each_goes_first) {
  std::vector<int> order;
  std::vector<Measure> measures;
  for (int i = 0; i < 3; ++i) {
    measures.push_back([&order, i] {
      order.push_back(i);
      return double(i);
    });
  }
  const Samples samples = sample(fast(0, 60, 60), measures, never);
  ASSERT_EQ(order.size(), 180u);
  std::vector<int> first(3);
  for (std::size_t at = 0; at < order.size(); at += 3) {
    ++first[static_cast<std::size_t>(order[at])];
    std::vector<int> repetition(order.begin() + long(at), order.begin() + long(at) + 3);
    EXPECT_THAT(repetition, testing::UnorderedElementsAre(0, 1, 2));
  }
  for (const int times : first) EXPECT_GE(times, 10);
  // Whatever the order, the samples stay with their measure.
  for (int i = 0; i < 3; ++i) EXPECT_THAT(samples.of[size_t(i)], testing::Each(double(i)));
}

TEST(Sampler, two_take_the_first_place_equally_often) {
  int ours_first = 0, position = 0;
  sample(fast(0, 100, 100),
         {[&] {
            ours_first += position++ % 2 == 0 ? 1 : 0;
            return 1.0;
          },
          [&] {
            ++position;
            return 1.0;
          }},
         never);
  EXPECT_EQ(ours_first, 50);
}

TEST(Sampler, the_budget_ends_it_after_the_least) {
  Pace pace = fast(2, 7, 1000);
  pace.budget = 0s;
  const Samples samples = sample(pace, {[] { return 1.0; }}, never);
  EXPECT_EQ(samples.of[0].size(), 7u);
  EXPECT_FALSE(samples.interrupted);
}

TEST(Sampler, stopping_keeps_whole_repetitions) {
  int asked = 0;
  const Samples samples = sample(fast(1, 50, 50), {[] { return 1.0; }, [] { return 2.0; }},
                                 [&] { return ++asked > 6; });
  EXPECT_TRUE(samples.interrupted);
  EXPECT_EQ(samples.of[0].size(), 5u);
  EXPECT_EQ(samples.of[1].size(), 5u);
}

TEST(Sampler, what_a_measurement_throws_comes_out) {
  EXPECT_THROW(
      sample(fast(0, 1, 1), {[]() -> double { throw std::runtime_error("broken"); }}, never),
      std::runtime_error);
}

}  // namespace
}  // namespace kvferry::cli::bench
