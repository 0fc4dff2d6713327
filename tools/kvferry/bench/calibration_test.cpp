#include "bench/calibration.hpp"

#include <gmock/gmock.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "bench/costs_json.hpp"
#include "bench/suite.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

std::vector<CostPoint> points_of(const CopyCost& cost, bool several_copies, double noise = 0) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> factor(1 - noise, 1 + noise);
  std::vector<CostPoint> points;
  for (const double blocks : {1.0, 4.0, 16.0, 64.0, 200.0}) {
    for (const double copies : {1.0, blocks}) {
      if (copies > 1 && !several_copies) continue;
      const double bytes = blocks * 40 * 65536;
      points.push_back({bytes, copies, cost.us(bytes, copies) * factor(random)});
    }
  }
  return points;
}

TEST(FitCost, finds_what_made_the_points) {
  for (const CopyCost& cost : {CopyCost{8.3, 390, 3.6}, CopyCost{20, 700, 5.1}, CopyCost{12, 55, 5},
                               CopyCost{0, 10, 0.01}}) {
    const auto fit = fit_cost(points_of(cost, true));
    ASSERT_TRUE(fit);
    EXPECT_NEAR(fit->start_us, cost.start_us, 1e-4);
    EXPECT_NEAR(fit->gb_per_s, cost.gb_per_s, 1e-6 * cost.gb_per_s);
    EXPECT_NEAR(fit->gap_us, cost.gap_us, 1e-4);
    EXPECT_LT(worst_error(*fit, points_of(cost, true)), 1e-6);
  }
}

TEST(FitCost, a_kernel_has_no_gap) {
  const auto fit = fit_cost(points_of({11.8, 370, 0}, false));
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->start_us, 11.8, 1e-4);
  EXPECT_EQ(fit->gap_us, 0);
}

TEST(FitCost, noise_moves_it_little) {
  const CopyCost cost{8.3, 390, 3.6};
  const auto fit = fit_cost(points_of(cost, true, 0.03));
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->start_us, cost.start_us, 1.5);
  EXPECT_NEAR(fit->gb_per_s, cost.gb_per_s, 20);
  EXPECT_NEAR(fit->gap_us, cost.gap_us, 0.4);
}

TEST(FitCost, nothing_is_negative) {
  // Times through the origin and below: the start would be negative.
  const auto fit = fit_cost({{1e6, 1, 1}, {1e7, 1, 20}, {1e8, 1, 250}});
  ASSERT_TRUE(fit);
  EXPECT_GE(fit->start_us, 0);
  EXPECT_GT(fit->gb_per_s, 0);
}

TEST(FitCost, points_that_do_not_tell) {
  EXPECT_FALSE(fit_cost({}));
  EXPECT_FALSE(fit_cost({{1e6, 1, 10}}));
  EXPECT_FALSE(fit_cost({{1e6, 1, 10}, {1e6, 1, 11}}));
  EXPECT_FALSE(fit_cost({{1e6, 1, 100}, {1e8, 1, 10}}));  // the larger the faster
}

Figure figure(const std::string& link, const std::string& method, std::uint32_t blocks, double us) {
  Figure f;
  f.work.link = link;
  f.work.block_bytes = 65536;
  f.work.blocks = blocks;
  f.work.layers = 40;
  f.method = method;
  f.ours.median = us * 1e-6;
  return f;
}

TEST(Evidence, is_read_from_how_it_was_copied) {
  const auto of = [](const std::string& link, const std::string& method) {
    const auto evidence = evidence_of(figure(link, method, 64, 674));
    return evidence ? evidence->field + ' ' + std::to_string(int(evidence->point.copies)) : "none";
  };
  EXPECT_EQ(of("nvlink", "copy engine 2D, 64 copies"), "peer_engine 64");
  EXPECT_EQ(of("pcie_peer", "kernel tma, 24 SMs"), "peer_kernel 1");
  EXPECT_EQ(of("same_gpu", "copy engine 2D, 1 copy"), "same_gpu_engine 1");
  EXPECT_EQ(of("same_gpu", "copy engine, 16 copies"), "same_gpu_flat_engine 16");
  EXPECT_EQ(of("same_gpu", "kernel plain, 132 SMs"), "same_gpu_kernel 1");
  EXPECT_EQ(of("host_gpu", "copy engine, 1 copy"), "to_host_engine 1");
  EXPECT_EQ(of("host_gpu", "kernel plain, 1 SM"), "to_host_kernel 1");
  Figure from_host = figure("host_gpu", "copy engine 2D, 64 copies", 64, 3280);
  from_host.work.from = "host";
  EXPECT_EQ(evidence_of(from_host)->field, "from_host_engine");
  EXPECT_EQ(of("host", "avx512 streaming, 2 threads"), "none");
  EXPECT_EQ(of("nvlink", "copy engine"), "none");
  EXPECT_EQ(of("nvlink", "copy engine 2D, many copies"), "none");
}

TEST(Calibrate, unmeasured_costs_stay_built_in) {
  std::vector<Figure> figures;
  for (const std::uint32_t blocks : {1u, 16u, 64u}) {
    const double bytes = blocks * 65536.0 * 40;
    figures.push_back(figure("nvlink", "kernel tma, 24 SMs", blocks, 10 + bytes / 200e3));
  }
  const Calibration c = calibrate(figures, "GPU");
  EXPECT_THAT(c.measured, testing::ElementsAre("peer_kernel"));
  EXPECT_NEAR(c.costs.peer_kernel.gb_per_s, 200, 0.01);
  EXPECT_EQ(c.costs.peer_engine.gb_per_s, CopyCosts{}.peer_engine.gb_per_s);
  EXPECT_THAT(calibration_table(c), testing::HasSubstr("not measured"));
}

TEST(Calibrate, measures_enough_for_every_cost) {
  Topology t;
  EXPECT_TRUE(calibration_works(t).empty());
  t.gpus = {{"cuda:0", 132, 1ull << 36}, {"cuda:1", 132, 1ull << 36}};
  t.peers = {{0, 1, "nvlink", ""}, {1, 0, "nvlink", ""}};
  std::set<std::string> links, keys;
  const auto works = calibration_works(t);
  for (const Work& work : works) {
    links.insert(work.link);
    keys.insert(work.key());
    EXPECT_GE(pool_blocks(work, t, false), work.blocks);
  }
  EXPECT_EQ(keys.size(), works.size());
  EXPECT_THAT(links, testing::UnorderedElementsAre("nvlink", "same_gpu", "host_gpu"));
}

TEST(CostsJson, there_and_back) {
  Calibration c;
  c.gpu = "NVIDIA \"H200\"";
  c.costs.peer_kernel = {1.5, 123.25, 0};
  c.measured = {"peer_kernel"};
  c.errors["peer_kernel"] = 0.04;
  const Calibration back = costs_from_json(to_json(c), "file");
  EXPECT_EQ(back.gpu, c.gpu);
  EXPECT_EQ(back.costs.peer_kernel.gb_per_s, 123.25);
  EXPECT_EQ(back.costs.from_host_engine.gap_us, c.costs.from_host_engine.gap_us);
  EXPECT_EQ(back.measured, c.measured);
  EXPECT_EQ(back.errors, c.errors);
}

std::string why_not(const std::string& text) {
  try {
    costs_from_json(text, "old.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "";
}

TEST(CostsJson, what_is_wrong_is_named) {
  const std::string good = to_json(Calibration{"GPU", {}, {}, {}});
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
  };
  EXPECT_EQ(why_not(good), "");
  EXPECT_THAT(why_not("no"), testing::HasSubstr("old.json"));
  EXPECT_THAT(why_not("{}"), testing::HasSubstr("schema is missing"));
  EXPECT_THAT(why_not(with("\"schema\": 1", "\"schema\": 2")), testing::HasSubstr("schema is 2"));
  EXPECT_THAT(why_not(with("\"gpu\": \"GPU\"", "\"gpu\": 3")), testing::HasSubstr("gpu"));
  EXPECT_THAT(why_not(with("\"gb_per_s\": 55.0", "\"gb_per_s\": 0")),
              testing::HasSubstr("costs.from_host_engine.gb_per_s is 0"));
  EXPECT_THAT(why_not(with("\"gb_per_s\": 55.0", "\"gb_per_s\": \"55\"")),
              testing::HasSubstr("costs.from_host_engine.gb_per_s"));
  EXPECT_THAT(why_not(with("\"start_us\": 12.0", "\"start_us\": -1")),
              testing::HasSubstr("costs.from_host_engine.start_us is -1"));
  EXPECT_THAT(why_not(with("\"from_host_kernel\"", "\"from_ghost_kernel\"")),
              testing::HasSubstr("costs.from_host_kernel is missing"));
}

}  // namespace
}  // namespace kvferry::cli::bench
