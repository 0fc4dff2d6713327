#include "gemm_beside/result.hpp"

#include <gtest/gtest.h>

#include "gemm_beside/rate.hpp"

namespace gemm_beside {
namespace {

using std::chrono::milliseconds;

// Rounds in which the machine's own speed wanders by a fifth: pairs must cancel it.
Measured measured(const std::string& setting, double longer, double beside) {
  Measured m{.setting = setting, .method = "kernel"};
  for (int i = 0; i < 9; ++i) {
    const double drift = 1 + 0.025 * i, noise = 1 + 0.001 * (i % 3 - 1);
    Sample s;
    s.gemm_alone_ms = s.median_alone_ms = 1.5 * drift;
    s.gemm_beside_ms = s.median_beside_ms = 1.5 * drift * longer * noise;
    s.pull_alone = 360;
    s.pull_beside = beside;
    m.samples.push_back(s);
  }
  return m;
}

TEST(GemmBeside, RateCountsWholePullsByTheirOwnTime) {
  std::vector<milliseconds> ends;
  for (int i = 0; i <= 20; ++i) ends.push_back(milliseconds(10 * i));
  // Ends at 30, 40, 50, 60 ms lie within: three whole pulls in 30 ms.
  const auto rate = rate_within(ends, milliseconds(25), milliseconds(69), 1'000'000'000);
  ASSERT_TRUE(rate);
  EXPECT_DOUBLE_EQ(*rate, 100);
  EXPECT_FALSE(rate_within(ends, milliseconds(25), milliseconds(35), 1));
  EXPECT_FALSE(rate_within(ends, milliseconds(500), milliseconds(900), 1));
  EXPECT_FALSE(rate_within({}, milliseconds(0), milliseconds(900), 1));
}

TEST(GemmBeside, PairsCancelDrift) {
  const auto rows = make_rows({measured("16 SMs", 1.12, 320)});
  EXPECT_NEAR(rows[0].slowdown(), 0.12, 1e-9);
  EXPECT_GT(rows[0].longer.ci.low, 1.118);
  EXPECT_LT(rows[0].longer.ci.high, 1.122);
  EXPECT_NEAR(rows[0].kept->median, 320.0 / 360, 1e-9);
  EXPECT_NEAR(*rows[0].per_gb_per_s(), 0.12 / 320, 1e-9);
}

TEST(GemmBeside, BestTradeIsTheLeastSlowdownAmongTheFastEnough) {
  const auto rows = make_rows({measured("4 SMs", 1.03, 90), measured("12 SMs", 1.09, 260),
                               measured("16 SMs", 1.12, 320), measured("engine", 1.0905, 245)});
  const Trade trade = best_trade(rows, 240);
  ASSERT_NE(trade.best, nullptr);
  EXPECT_EQ(trade.best->setting, "12 SMs");
  ASSERT_EQ(trade.tied.size(), 1u);
  EXPECT_EQ(trade.tied[0]->setting, "engine");
  EXPECT_EQ(best_trade(rows, 400).best, nullptr);
  EXPECT_EQ(cheapest(rows)->setting, "4 SMs");
}

TEST(GemmBeside, WrongBytesAreNoTrade) {
  auto all = std::vector{measured("12 SMs", 1.09, 260), measured("16 SMs", 1.12, 320)};
  all[0].wrong_bytes = 1;
  const auto rows = make_rows(all);
  EXPECT_EQ(best_trade(rows, 240).best->setting, "16 SMs");
  EXPECT_NE(to_text(rows, 240).find("WRONG"), std::string::npos);
}

TEST(GemmBeside, RoundsWithoutRateAreLeftOutOfRatesAndSaid) {
  auto one = measured("1 SM", 1.01, 20);
  one.samples[3].pull_beside = 0;
  auto none = measured("2 SMs", 1.02, 0);
  none.same = {"3 SMs"};
  const std::vector all{one, none};
  const auto rows = make_rows(all);
  EXPECT_EQ(rows[0].rounds_without_rate, 1u);
  EXPECT_EQ(rows[0].beside->count, 8u);
  EXPECT_FALSE(rows[1].beside);
  const std::string text = to_text(rows, 240);
  EXPECT_NE(text.find("in 1 of 9 rounds"), std::string::npos) << text;
  EXPECT_NE(text.find("also 3 SMs"), std::string::npos) << text;
  EXPECT_NE(text.find("no setting reaches 240"), std::string::npos) << text;
  const auto json = to_json(rows, all, 240);
  EXPECT_TRUE(json["best_trade"]["setting"].is_null());
  EXPECT_TRUE(json["settings"][0]["samples"][3]["pull_beside_gb_per_s"].is_null());
  EXPECT_TRUE(json["settings"][1]["pull_beside_gb_per_s"].is_null());
}

}  // namespace
}  // namespace gemm_beside
