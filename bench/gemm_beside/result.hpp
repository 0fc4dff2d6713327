#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "stats/stats.hpp"

namespace gemm_beside {

// What one round measured for one setting; the three phases follow each other in random order.
struct Sample {
  double gemm_alone_ms = 0, gemm_beside_ms = 0;      // a GEMM, on average
  double median_alone_ms = 0, median_beside_ms = 0;  // the median one
  double pull_alone = 0, pull_beside = 0;            // GB/s; 0: too few pulls ended in the window
};

// All that was measured of one setting.
struct Measured {
  std::string setting;  // "16 SMs", "engine", "automatic"
  std::vector<std::string>
      same{};                     // settings that come to the same copy and were not measured again
  std::string method;             // as the transfer reported it
  std::uint64_t wrong_bytes = 0;  // in the local pool after pulls beside the GEMM
  std::vector<Sample> samples{};
};

// The figures of one setting, from pairs of neighbouring phases.
struct Row {
  std::string setting, method;
  std::vector<std::string> same{};
  std::uint64_t wrong_bytes = 0;
  std::size_t rounds = 0, rounds_without_rate = 0;
  kvferry::stats::Ratio longer{};         // time of all GEMMs together, beside : alone
  kvferry::stats::Ratio median_longer{};  // of the median GEMM: differs where pulls slow only some
  double gemm_alone_ms = 0, gemm_beside_ms = 0;
  std::optional<kvferry::stats::Summary> alone{}, beside{};  // of the pulls, GB/s
  std::optional<kvferry::stats::Ratio> kept{};               // pull rate, beside : alone

  double slowdown() const noexcept { return longer.median - 1; }
  // Fraction of the GEMM's time for each GB/s.
  std::optional<double> per_gb_per_s() const;
};

// Pure. Requires: at least one sample each.
std::vector<Row> make_rows(const std::vector<Measured>& measured);

// The least slowdown among the rows that pull at `at_least` GB/s or more beside the GEMM, with
// every byte right; `tied`: others of these whose interval reaches down into its own.
struct Trade {
  const Row* best = nullptr;  // null: none pulls so fast
  std::vector<const Row*> tied;
};
Trade best_trade(const std::vector<Row>& rows, double at_least);
// The least slowdown for each GB/s, whatever the rate; null: no row has a rate.
const Row* cheapest(const std::vector<Row>& rows);

// The aligned table, and under it what to take from it.
std::string to_text(const std::vector<Row>& rows, double at_least);
nlohmann::ordered_json to_json(const std::vector<Row>& rows, const std::vector<Measured>& measured,
                               double at_least);

}  // namespace gemm_beside
