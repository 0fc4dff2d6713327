#include "gemm_beside/result.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gemm_beside {
namespace {

using kvferry::stats::Ratio, kvferry::stats::Summary;
using Json = nlohmann::ordered_json;

// With fewer rounds an interval of order statistics is less than 95 %.
constexpr std::size_t kRoundsFor95 = 6;

std::vector<double> column(const std::vector<Sample>& samples, double Sample::* field) {
  std::vector<double> out;
  for (const Sample& sample : samples) out.push_back(sample.*field);
  return out;
}

Row make_row(const Measured& m) {
  Row row{.setting = m.setting, .method = m.method, .same = m.same, .wrong_bytes = m.wrong_bytes};
  row.rounds = m.samples.size();
  const auto alone = column(m.samples, &Sample::gemm_alone_ms);
  const auto beside = column(m.samples, &Sample::gemm_beside_ms);
  row.longer = kvferry::stats::paired_ratio(alone, beside);
  row.median_longer = kvferry::stats::paired_ratio(column(m.samples, &Sample::median_alone_ms),
                                                   column(m.samples, &Sample::median_beside_ms));
  row.gemm_alone_ms = kvferry::stats::summarize(alone).median;
  row.gemm_beside_ms = kvferry::stats::summarize(beside).median;
  std::vector<Sample> rated = m.samples;
  std::erase_if(rated, [](const Sample& s) { return s.pull_alone <= 0 || s.pull_beside <= 0; });
  row.rounds_without_rate = m.samples.size() - rated.size();
  if (rated.empty()) return row;
  const auto pull_alone = column(rated, &Sample::pull_alone);
  const auto pull_beside = column(rated, &Sample::pull_beside);
  row.alone = kvferry::stats::summarize(pull_alone);
  row.beside = kvferry::stats::summarize(pull_beside);
  row.kept = kvferry::stats::paired_ratio(pull_alone, pull_beside);
  return row;
}

std::string percent_longer(const Ratio& r) {
  return fmt::format("{:+.1f} % [{:+.1f}, {:+.1f}]", 100 * (r.median - 1), 100 * (r.ci.low - 1),
                     100 * (r.ci.high - 1));
}
std::string rate(const Summary& s) {
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", s.median, s.median_ci.low, s.median_ci.high);
}

std::vector<std::string> cells(const Row& r) {
  std::vector<std::string> out{r.setting, r.method, percent_longer(r.longer),
                               fmt::format("{:+.1f} %", 100 * (r.median_longer.median - 1))};
  if (!r.alone) {
    out.insert(out.end(), {"-", "-", "-", "-"});
    return out;
  }
  out.push_back(fmt::format("{:.1f}", r.alone->median));
  out.push_back(rate(*r.beside));
  out.push_back(fmt::format("{:.1f} %", 100 * r.kept->median));
  out.push_back(fmt::format("{:.2f} %", 1e4 * *r.per_gb_per_s()));
  return out;
}

std::string table(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines{{"setting", "copied by", "GEMM takes longer by",
                                               "median GEMM", "pull alone GB/s", "beside GB/s",
                                               "kept", "longer per 100 GB/s"}};
  for (const Row& row : rows) lines.push_back(cells(row));
  std::vector<std::size_t> widths(lines[0].size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      // Words to the left, figures to the right.
      text += i < 2 ? fmt::format("{:<{}}  ", line[i], widths[i])
                    : fmt::format("{:>{}}  ", line[i], widths[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

std::string remarks(const Row& row) {
  std::string text;
  if (!row.same.empty()) {
    text += fmt::format("{}: also {} ({} there too), not measured again\n", row.setting,
                        fmt::join(row.same, ", "), row.method);
  }
  if (row.rounds_without_rate > 0) {
    text += fmt::format(
        "{}: in {} of {} rounds too few pulls ended for a rate; a longer --window-ms helps\n",
        row.setting, row.rounds_without_rate, row.rounds);
  }
  if (row.wrong_bytes > 0)
    text += fmt::format("{}: {} WRONG BYTES after the pulls beside the GEMM\n", row.setting,
                        row.wrong_bytes);
  if (row.rounds < kRoundsFor95)
    text += fmt::format("{}: {} rounds; below {} an interval is the whole range, not 95 %\n",
                        row.setting, row.rounds, kRoundsFor95);
  return text;
}

std::string verdict(const std::vector<Row>& rows, double at_least) {
  const Trade trade = best_trade(rows, at_least);
  std::string text;
  if (trade.best == nullptr) {
    const auto fastest = std::ranges::max_element(
        rows, {}, [](const Row& r) { return r.beside ? r.beside->median : 0; });
    text = fmt::format("best trade: no setting reaches {:g} GB/s beside the GEMM", at_least);
    if (fastest != rows.end() && fastest->beside)
      text +=
          fmt::format("; the fastest is {} with {} GB/s", fastest->setting, rate(*fastest->beside));
    text += '\n';
  } else {
    const Row& b = *trade.best;
    text = fmt::format(
        "best trade at >= {:g} GB/s beside the GEMM: {} ({}): the GEMM takes {} longer, the pull "
        "makes {} GB/s\n",
        at_least, b.setting, b.method, percent_longer(b.longer), rate(*b.beside));
    std::vector<std::string> names;
    for (const Row* row : trade.tied) names.push_back(row->setting);
    if (!names.empty())
      text += fmt::format("  not told apart from it: {}\n", fmt::join(names, ", "));
  }
  if (const Row* row = cheapest(rows)) {
    text += fmt::format("least for each GB/s, whatever the rate: {}: {:.2f} % for 100 GB/s\n",
                        row->setting, 1e4 * *row->per_gb_per_s());
  }
  return text;
}

Json of(const Ratio& r) { return {{"median", r.median}, {"ci95", {r.ci.low, r.ci.high}}}; }
Json of(const std::optional<Ratio>& r) { return r ? of(*r) : Json(); }
Json of(const std::optional<Summary>& s) {
  if (!s) return Json();
  return {{"median", s->median},
          {"ci95", {s->median_ci.low, s->median_ci.high}},
          {"min", s->min},
          {"max", s->max}};
}

Json of(const Row& row, const Measured& measured) {
  const auto per = row.per_gb_per_s();
  Json json{{"setting", row.setting},
            {"method", row.method},
            {"same", row.same},
            {"wrong_bytes", row.wrong_bytes},
            {"rounds", row.rounds},
            {"rounds_without_rate", row.rounds_without_rate},
            {"gemm_time_ratio", of(row.longer)},
            {"median_gemm_time_ratio", of(row.median_longer)},
            {"gemm_alone_s", row.gemm_alone_ms / 1e3},
            {"gemm_beside_s", row.gemm_beside_ms / 1e3},
            {"pull_alone_gb_per_s", of(row.alone)},
            {"pull_beside_gb_per_s", of(row.beside)},
            {"pull_rate_ratio", of(row.kept)},
            {"slowdown_per_gb_per_s", per ? Json(*per) : Json()}};
  Json samples = Json::array();
  for (const Sample& s : measured.samples) {
    samples.push_back({{"gemm_alone_s", s.gemm_alone_ms / 1e3},
                       {"gemm_beside_s", s.gemm_beside_ms / 1e3},
                       {"median_gemm_alone_s", s.median_alone_ms / 1e3},
                       {"median_gemm_beside_s", s.median_beside_ms / 1e3},
                       {"pull_alone_gb_per_s", s.pull_alone > 0 ? Json(s.pull_alone) : Json()},
                       {"pull_beside_gb_per_s", s.pull_beside > 0 ? Json(s.pull_beside) : Json()}});
  }
  json["samples"] = std::move(samples);
  return json;
}

}  // namespace

std::optional<double> Row::per_gb_per_s() const {
  if (!beside) return std::nullopt;
  return slowdown() / beside->median;
}

std::vector<Row> make_rows(const std::vector<Measured>& measured) {
  std::vector<Row> rows;
  for (const Measured& m : measured) rows.push_back(make_row(m));
  return rows;
}

Trade best_trade(const std::vector<Row>& rows, double at_least) {
  Trade trade;
  std::vector<const Row*> able;
  for (const Row& row : rows) {
    if (row.wrong_bytes == 0 && row.beside && row.beside->median >= at_least) able.push_back(&row);
  }
  if (able.empty()) return trade;
  trade.best = *std::ranges::min_element(able, {}, &Row::slowdown);
  for (const Row* row : able) {
    if (row != trade.best && row->longer.ci.low <= trade.best->longer.ci.high)
      trade.tied.push_back(row);
  }
  return trade;
}

const Row* cheapest(const std::vector<Row>& rows) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if (row.wrong_bytes > 0 || !row.beside) continue;
    if (best == nullptr || *row.per_gb_per_s() < *best->per_gb_per_s()) best = &row;
  }
  return best;
}

std::string to_text(const std::vector<Row>& rows, double at_least) {
  std::string text = table(rows) + '\n';
  for (const Row& row : rows) text += remarks(row);
  return text + verdict(rows, at_least);
}

Json to_json(const std::vector<Row>& rows, const std::vector<Measured>& measured, double at_least) {
  Json settings = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) settings.push_back(of(rows[i], measured[i]));
  const Trade trade = best_trade(rows, at_least);
  Json tied = Json::array();
  for (const Row* row : trade.tied) tied.push_back(row->setting);
  const Row* least = cheapest(rows);
  return {{"settings", std::move(settings)},
          {"best_trade",
           {{"at_least_gb_per_s", at_least},
            {"setting", trade.best == nullptr ? Json() : Json(trade.best->setting)},
            {"not_told_apart", std::move(tied)}}},
          {"least_per_gb_per_s", least == nullptr ? Json() : Json(least->setting)}};
}

}  // namespace gemm_beside
