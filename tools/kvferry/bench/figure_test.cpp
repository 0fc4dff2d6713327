#include "bench/figure.hpp"

#include <gmock/gmock.h>

#include <vector>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

Work a_work(Group group) {
  Work work;
  work.group = group;
  work.path = "host_shm";
  work.block_bytes = 1'000'000;
  work.blocks = work.layers = 1;
  return work;
}

std::vector<double> around(double center, std::size_t count, double spread) {
  std::vector<double> samples;
  for (std::size_t i = 0; i < count; ++i) {
    const double place = static_cast<double>(i) / static_cast<double>(count - 1) - 0.5;
    samples.push_back(center * (1 + spread * place));
  }
  return samples;
}

TEST(FigureBuilder, the_fastest_way_is_the_reference) {
  FigureBuilder builder(a_work(Group::throughput));
  builder.add_way("slow");
  builder.add_way("fast");
  builder.add_way("middling");
  const Figure figure = builder.finish({{around(1e-3, 31, 0.01), around(2e-3, 31, 0.01),
                                         around(0.9e-3, 31, 0.01), around(1.5e-3, 31, 0.01)},
                                        false});
  EXPECT_EQ(figure.reference_name, "fast");
  ASSERT_TRUE(figure.of_reference);
  EXPECT_NEAR(figure.of_reference->median, 0.9, 1e-6);
  EXPECT_NEAR(figure.gb_per_s, 1.0, 1e-6);
  EXPECT_EQ(figure.note, "");
  EXPECT_TRUE(figure.cdf.empty());
  EXPECT_FALSE(noisy(figure));
}

TEST(FigureBuilder, a_wide_interval_is_said) {
  FigureBuilder builder(a_work(Group::throughput));
  const Figure figure = builder.finish({{around(1e-3, 11, 1.0)}, true});
  EXPECT_TRUE(noisy(figure));
  EXPECT_THAT(figure.note, testing::HasSubstr("noisy"));
  EXPECT_THAT(figure.note, testing::HasSubstr("cut short"));
}

TEST(FigureBuilder, the_cdf_ascends_to_its_end) {
  for (const std::size_t count : {50u, 5000u}) {
    FigureBuilder builder(a_work(Group::latency));
    const auto samples = around(1e-3, count, 0.5);
    const Figure figure = builder.finish({{samples}, false});
    ASSERT_FALSE(figure.cdf.empty());
    for (std::size_t i = 1; i < figure.cdf.size(); ++i) {
      EXPECT_LT(figure.cdf[i - 1].first, figure.cdf[i].first);
      EXPECT_LE(figure.cdf[i - 1].second, figure.cdf[i].second);
    }
    EXPECT_EQ(figure.cdf.back(), std::pair(1.0, samples.back()));
  }
}

TEST(FigureBuilder, posting_has_no_rate_and_says_so) {
  FigureBuilder builder(a_work(Group::posting));
  builder.note(wall_note({3e-6, 1e-6, 2e-6}));
  const Figure figure = builder.finish({{around(1e-6, 11, 0.01)}, false});
  EXPECT_EQ(figure.gb_per_s, 0);
  EXPECT_FALSE(figure.reference);
  EXPECT_THAT(figure.note, testing::HasSubstr("2.00 us by the clock; no reference"));
}

TEST(FigureBuilder, posting_is_held_against_a_bare_launch) {
  FigureBuilder builder(a_work(Group::posting));
  builder.add_way("bare launch");
  const Figure figure = builder.finish({{around(2e-6, 11, 0.01), around(1e-6, 11, 0.01)}, false});
  EXPECT_EQ(figure.gb_per_s, 0);
  EXPECT_EQ(figure.reference_name, "bare launch");
  EXPECT_NEAR(figure.of_reference->median, 0.5, 0.02);
}

TEST(FigureBuilder, another_path_than_expected_is_said) {
  FigureBuilder builder(a_work(Group::throughput));
  TransferReport report;
  report.path = "tcp";
  report.method = "sockets";
  builder.verified(report);
  const Figure figure = builder.finish({{around(1e-3, 11, 0.01)}, false});
  EXPECT_TRUE(figure.verified);
  EXPECT_EQ(figure.method, "sockets");
  EXPECT_THAT(figure.note, testing::HasSubstr("moved over tcp"));
}

TEST(FigureBuilder, nothing_measured_is_no_figure) {
  FigureBuilder builder(a_work(Group::throughput));
  EXPECT_THROW(builder.finish({{{}}, true}), Error);
}

}  // namespace
}  // namespace kvferry::cli::bench
