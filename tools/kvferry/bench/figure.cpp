#include "bench/figure.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kvferry/error.hpp"
#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

// A median known no better than this is worth a warning.
constexpr double kNoisy = 0.05;
// Points of the CDF; beyond the 99.9th percentile there are too few samples to draw.
constexpr std::size_t kCdfPoints = 200;

std::vector<std::pair<double, double>> cdf_of(std::vector<double> samples) {
  std::ranges::sort(samples);
  std::vector<std::pair<double, double>> cdf;
  const std::size_t points = std::min(kCdfPoints, samples.size());
  for (std::size_t i = 1; i <= points; ++i) {
    const double q = static_cast<double>(i) / static_cast<double>(points);
    cdf.emplace_back(q, stats::quantile(samples, q));
  }
  if (samples.size() >= 2000) {
    for (const double q : {0.999, 0.9975}) cdf.emplace_back(q, stats::quantile(samples, q));
    std::ranges::sort(cdf);
  }
  return cdf;
}

double relative_width(const Figure& figure) {
  const auto& ci = figure.ours.median_ci;
  return figure.ours.median > 0 ? (ci.high - ci.low) / figure.ours.median : 0;
}

double median(std::vector<double> samples) { return stats::summarize(std::move(samples)).median; }

}  // namespace

void FigureBuilder::verified(const TransferReport& report) {
  figure_.verified = true;
  figure_.method = report.method;
  if (report.path != figure_.work.path) note(fmt::format("moved over {}", report.path));
}

void FigureBuilder::against(std::vector<ReferenceWay> ways, std::vector<Measure>& measures) {
  for (ReferenceWay& way : ways) {
    add_way(std::move(way.name));
    measures.push_back(std::move(way.copy));
  }
}

void FigureBuilder::note(const std::string& text) {
  figure_.note += figure_.note.empty() ? text : "; " + text;
}

Figure FigureBuilder::finish(const Samples& samples) {
  if (samples.of.front().empty()) {
    throw Error(ErrorCode::cancelled, "no time was left for it");
  }
  figure_.ours = stats::summarize(samples.of.front());
  figure_.gb_per_s = gb_per_s(figure_.work.bytes(), figure_.ours.median);
  std::size_t best = 0;
  for (std::size_t i = 1; i < samples.of.size(); ++i) {
    if (best == 0 || median(samples.of[i]) < median(samples.of[best])) best = i;
  }
  if (best != 0) {
    figure_.reference_name = ways_[best - 1];
    figure_.reference = stats::summarize(samples.of[best]);
    figure_.of_reference = stats::paired_ratio(samples.of.front(), samples.of[best]);
  } else if (figure_.work.group == Group::posting) {
    note("no reference: on the host nothing but ours is called");
  }
  if (figure_.work.group == Group::posting) {
    figure_.gb_per_s = 0;  // nothing has moved yet when the call returns
  }
  if (figure_.work.small()) {
    figure_.cdf = cdf_of(samples.of.front());
  }
  if (figure_.work.layout != "joint") {
    note("the client's pool is laid out so; the server's is joint");
  }
  if (noisy(figure_)) {
    note(fmt::format("noisy: the interval is {:.0f} % wide", 100 * relative_width(figure_)));
  }
  if (samples.interrupted) note("cut short");
  return std::move(figure_);
}

std::string wall_note(std::vector<double> samples) {
  return format_seconds(median(std::move(samples))) + " by the clock";
}

bool noisy(const Figure& figure) noexcept { return relative_width(figure) > kNoisy; }

unsigned copy_threads(const Topology& topology) noexcept {
  return std::clamp(topology.cores, 1u, 8u);
}

}  // namespace kvferry::cli::bench
