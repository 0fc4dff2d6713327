#include "bench/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "bench/client_suite.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::size_t kParts = 3;  // start, microseconds a byte, gap
using Row = std::array<double, kParts>;

Row row_of(const CostPoint& p) { return {1, p.bytes, p.copies - 1}; }

// Gaussian elimination with pivots on the normal equations, of the parts in use; nullopt: singular.
std::optional<Row> solve(const std::vector<CostPoint>& points,
                         const std::array<bool, kParts>& used) {
  std::array<std::array<double, kParts + 1>, kParts> m{};
  // Bytes are some 1e8 and a start some 10: the columns are brought to one size first.
  Row scale{};
  for (const CostPoint& p : points) {
    for (std::size_t i = 0; i < kParts; ++i) scale[i] = std::max(scale[i], row_of(p)[i]);
  }
  for (std::size_t i = 0; i < kParts; ++i) {
    if (!used[i] || scale[i] == 0) m[i][i] = 1;
  }
  const auto counts = [&](std::size_t i) { return used[i] && scale[i] != 0; };
  for (const CostPoint& p : points) {
    const Row row = row_of(p);
    const double weight = 1 / (p.us * p.us);
    for (std::size_t i = 0; i < kParts; ++i) {
      if (!counts(i)) continue;
      for (std::size_t j = 0; j < kParts; ++j) {
        if (counts(j)) m[i][j] += weight * row[i] / scale[i] * row[j] / scale[j];
      }
      m[i][kParts] += weight * row[i] / scale[i] * p.us;
    }
  }
  for (std::size_t c = 0; c < kParts; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c + 1; r < kParts; ++r) {
      if (std::abs(m[r][c]) > std::abs(m[pivot][c])) pivot = r;
    }
    std::swap(m[c], m[pivot]);
    if (std::abs(m[c][c]) < 1e-14) return std::nullopt;
    for (std::size_t r = 0; r < kParts; ++r) {
      if (r == c) continue;
      const double factor = m[r][c] / m[c][c];
      for (std::size_t k = c; k <= kParts; ++k) m[r][k] -= factor * m[c][k];
    }
  }
  Row solution{};
  for (std::size_t i = 0; i < kParts; ++i) {
    solution[i] = counts(i) ? m[i][kParts] / m[i][i] / scale[i] : 0;
  }
  return solution;
}

bool several_sizes(const std::vector<CostPoint>& points) {
  return std::ranges::any_of(points,
                             [&](const CostPoint& p) { return p.bytes != points.front().bytes; });
}

// "copy engine 2D, 64 copies" -> 64.
std::optional<double> copies_in(const std::string& method) {
  const std::size_t comma = method.find(", ");
  if (comma == std::string::npos) return std::nullopt;
  unsigned copies = 0;
  const char* const end = method.data() + method.size();
  const auto [stop, error] = std::from_chars(method.data() + comma + 2, end, copies);
  if (error != std::errc{} || copies == 0 || !std::string_view(stop, end).starts_with(" cop")) {
    return std::nullopt;
  }
  return copies;
}

void add_works(std::vector<Work>& works, const DevicePair& pair, bool push) {
  struct Size {
    std::uint32_t blocks, layers;
    bool scattered, engine;
  };
  static constexpr Size kSizes[] = {// By kernel; how the blocks lie hardly matters to it.
                                    {1, 40, true, false},
                                    {4, 40, true, false},
                                    {16, 40, true, false},
                                    {64, 40, true, false},
                                    {200, 40, true, false},
                                    // By the engine: one copy of all rows, then one for each block.
                                    {1, 40, false, true},
                                    {16, 40, false, true},
                                    {64, 40, false, true},
                                    {200, 40, false, true},
                                    {4, 40, true, true},
                                    {16, 40, true, true},
                                    {64, 40, true, true},
                                    // One layer: each copy is contiguous.
                                    {16, 1, false, true},
                                    {100, 1, false, true},
                                    {200, 1, false, true},
                                    {4, 1, true, true},
                                    {16, 1, true, true},
                                    {64, 1, true, true}};
  for (const Size& size : kSizes) {
    if (size.layers == 1 && pair.link != "same_gpu") continue;
    Work w = pair_work(Group::throughput, pair, 65536, size.blocks, size.layers);
    w.order = size.scattered ? "scattered" : "contiguous";
    w.copy = size.engine ? "engine" : "kernel";
    if (push) {
      w.direction = "push";
      std::swap(w.from, w.to);
    }
    works.push_back(std::move(w));
  }
}

}  // namespace

std::optional<CopyCost> fit_cost(const std::vector<CostPoint>& points) {
  if (points.size() < 2 || !several_sizes(points)) return std::nullopt;
  std::array<bool, kParts> used{true, true, true};
  while (true) {
    const auto parts = solve(points, used);
    if (!parts) return std::nullopt;
    const auto negative = std::ranges::find_if(*parts, [](double part) { return part < 0; });
    if (negative == parts->end()) {
      if ((*parts)[1] <= 0) return std::nullopt;
      return CopyCost{(*parts)[0], 1e-3 / (*parts)[1], (*parts)[2]};
    }
    // Without bytes there is no rate; of the others, none is the least it can be.
    const auto which = static_cast<std::size_t>(negative - parts->begin());
    if (which == 1) return std::nullopt;
    used[which] = false;
  }
}

double worst_error(const CopyCost& cost, const std::vector<CostPoint>& points) {
  double worst = 0;
  for (const CostPoint& p : points) {
    worst = std::max(worst, std::abs(cost.us(p.bytes, p.copies) - p.us) / p.us);
  }
  return worst;
}

std::vector<Work> calibration_works(const Topology& topology) {
  std::vector<Work> works;
  if (topology.gpus.empty()) return works;
  const std::string& gpu = topology.gpus.front().device;
  add_works(works, {"same_gpu", gpu, gpu, true}, false);
  for (const Topology::PeerLink& peer : topology.peers) {
    if (peer.from != 0 || peer.link.empty()) continue;
    add_works(works, {peer.link, topology.gpus[peer.to].device, gpu, true}, false);
    break;  // one pair stands for all; the model has one cost for them
  }
  const DevicePair host{"host_gpu", "host", gpu, true};
  for (const bool push : {false, true}) add_works(works, host, push);
  return works;
}

std::optional<CostEvidence> evidence_of(const Figure& figure) {
  const bool engine = figure.method.starts_with("copy engine");
  if (!engine && !figure.method.starts_with("kernel")) return std::nullopt;
  const std::string& link = figure.work.link;
  const bool flat = figure.method.find(" 2D") == std::string::npos;
  std::string field = link == "same_gpu"           ? "same_gpu"
                      : link != "host_gpu"         ? "peer"
                      : figure.work.from == "host" ? "from_host"
                                                   : "to_host";
  if (link == "same_gpu" && engine && flat) field += "_flat";
  field += engine ? "_engine" : "_kernel";
  const auto copies = engine ? copies_in(figure.method) : std::optional(1.0);
  if (!copies) return std::nullopt;
  return CostEvidence{
      std::move(field),
      {static_cast<double>(figure.work.bytes()), *copies, 1e6 * figure.ours.median}};
}

Calibration calibrate(const std::vector<Figure>& figures, std::string gpu) {
  Calibration calibration;
  calibration.gpu = std::move(gpu);
  std::map<std::string, std::vector<CostPoint>> points;
  for (const Figure& figure : figures) {
    if (auto evidence = evidence_of(figure)) points[evidence->field].push_back(evidence->point);
  }
  for (const auto& [name, field] : cost_fields()) {
    const auto found = points.find(name);
    if (found == points.end()) continue;
    const auto cost = fit_cost(found->second);
    if (!cost) continue;
    calibration.costs.*field = *cost;
    calibration.measured.push_back(name);
    calibration.errors[name] = worst_error(*cost, found->second);
  }
  return calibration;
}

std::string calibration_table(const Calibration& calibration) {
  std::string text = fmt::format("{:<22} {:>30}   {:>30}   {}\n", "microseconds, GB/s",
                                 "measured: start, rate, gap", "built-in: start, rate, gap",
                                 "worst error of the fit");
  const CopyCosts built_in;
  for (const auto& [name, field] : cost_fields()) {
    const auto part = [](const CopyCost& c) {
      return fmt::format("{:>10.1f} {:>10.1f} {:>8.2f}", c.start_us, c.gb_per_s, c.gap_us);
    };
    const auto error = calibration.errors.find(name);
    const bool measured = error != calibration.errors.end();
    text += fmt::format("{:<22} {:>30}   {:>30}   {}\n", name,
                        measured ? part(calibration.costs.*field) : "not measured",
                        part(built_in.*field),
                        measured ? fmt::format("{:.0f} %", 100 * error->second) : "");
  }
  text.pop_back();
  return text;
}

}  // namespace kvferry::cli::bench
