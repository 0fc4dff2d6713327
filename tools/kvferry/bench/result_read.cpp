#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/bounded_json.hpp"
#include "bench/json_fields.hpp"
#include "bench/result_json.hpp"

namespace kvferry::cli::bench {
namespace {

// Far beyond what a run writes, and little enough that a bad file costs no memory to speak of.
constexpr JsonLimits kLimits{
    .bytes = kMaxResultBytes, .values = 1'000'000, .depth = 16};  // to_json() goes 5 deep
constexpr std::size_t kMaxFigures = 10'000, kMaxSkipped = 10'000, kMaxCdf = 10'000, kMaxGpus = 256;
constexpr std::uint64_t kMaxBytesMoved = std::uint64_t{1} << 60;
constexpr std::uint64_t kMaxSamples = 1'000'000'000;
constexpr std::uint64_t kMaxCount32 = UINT32_MAX;
constexpr double kMaxSeconds = 1e9, kMaxRate = 1e9, kMaxRatio = 1e9;

Group read_group(const JsonField& field) {
  const std::string text = field.text();
  for (const Group group : {Group::throughput, Group::blocks, Group::sms, Group::latency,
                            Group::posting, Group::clients, Group::tcp, Group::ucx}) {
    if (text == to_string(group)) return group;
  }
  field.fail("one of throughput, blocks, sms, latency, posting, clients, tcp, ucx");
}

std::uint32_t read_count(const JsonField& field, std::uint64_t low) {
  return static_cast<std::uint32_t>(field.count(low, kMaxCount32));
}

Work read_work(const JsonField& json) {
  Work work{.group = read_group(json["group"]),
            .path = json["path"].text(),
            .link = json["link"].text(),
            .from = json["from"].text(),
            .to = json["to"].text(),
            .direction = json["direction"].text(),
            .order = json["order"].text(),
            .copy = json["copy"].text(),
            .layout = json["layout"].text(),
            .block_bytes = json["block_bytes"].count(1, kMaxBytesMoved),
            .blocks = read_count(json["blocks"], 1),
            .layers = read_count(json["layers"], 1),
            .max_sms = read_count(json["max_sms"], 0),
            .clients = read_count(json["clients"], 1),
            .servers = read_count(json["servers"], 1),
            .processes = read_count(json["processes"], 1),
            // Not in the files of before there were paths over networks.
            .streams = json.has("streams") ? read_count(json["streams"], 0) : 0,
            .wire = json.has("wire") ? json["wire"].text() : ""};
  // Division, because the product may be beyond 64 bits.
  if (work.block_bytes > kMaxBytesMoved / work.blocks / work.layers) {
    json["block_bytes"].fail(
        fmt::format("at most 2^60 together with {} blocks in {} layers", work.blocks, work.layers));
  }
  return work;
}

stats::Interval read_interval(const JsonField& json, double median, double max) {
  std::vector<double> ends;
  json.each(2, [&](const JsonField& end) { ends.push_back(end.number(0, max)); });
  if (ends.size() != 2 || ends[0] > median || ends[1] < median) {
    json.fail(fmt::format("two numbers, with the median {} between them", median));
  }
  return {ends[0], ends[1]};
}

stats::Summary read_summary(const JsonField& json) {
  stats::Summary summary;
  summary.count = json["count"].count(1, kMaxSamples);
  summary.min = json["min"].number(0, kMaxSeconds);
  summary.max = json["max"].number(summary.min, kMaxSeconds);
  summary.median = json["median"].number(summary.min, summary.max);
  summary.median_ci = read_interval(json["median_ci"], summary.median, kMaxSeconds);
  summary.p99 = json["p99"].number(summary.median, summary.max);
  summary.p999 = json["p999"].number(summary.p99, summary.max);
  return summary;
}

std::vector<std::pair<double, double>> read_cdf(const JsonField& json) {
  std::vector<std::pair<double, double>> cdf;
  json.each(kMaxCdf, [&](const JsonField& point) {
    std::vector<double> values;
    point.each(2, [&](const JsonField& value) { values.push_back(value.number(0, kMaxSeconds)); });
    const std::pair<double, double> last = cdf.empty() ? std::pair(0.0, 0.0) : cdf.back();
    if (values.size() != 2 || values[0] > 1 || values[0] < last.first || values[1] < last.second) {
      point.fail("a share from 0 to 1 and seconds, neither less than in the point before");
    }
    cdf.emplace_back(values[0], values[1]);
  });
  return cdf;
}

Figure read_figure(const JsonField& json) {
  Figure figure;
  figure.work = read_work(json);
  figure.method = json["method"].text();
  figure.ours = read_summary(json["seconds"]);
  figure.gb_per_s = json["gb_per_s"].number(0, kMaxRate);
  if (const JsonField reference = json["reference"]; !reference.is_null()) {
    figure.reference_name = reference["name"].text();
    const JsonField seconds = reference["seconds"];
    if (!seconds.is_null()) figure.reference = read_summary(seconds);
  }
  if (const JsonField ratio = json["of_reference"]; !ratio.is_null()) {
    const double median = ratio["median"].number(0, kMaxRatio);
    figure.of_reference = {median, read_interval(ratio["ci"], median, kMaxRatio)};
  }
  figure.verified = json["verified"].flag();
  figure.cdf = read_cdf(json["cdf"]);
  figure.note = json["note"].text();
  return figure;
}

Machine read_machine(const JsonField& json) {
  Machine machine{.host = json["host"].text(),
                  .cpu = json["cpu"].text(),
                  .kernel = json["kernel"].text(),
                  .driver = json["driver"].text(),
                  .cuda_runtime = json["cuda_runtime"].text(),
                  .cores = read_count(json["cores"], 0),
                  .memory_bytes = json["memory_bytes"].count(0, kMaxBytesMoved),
                  .gpus = {}};
  json["gpus"].each(kMaxGpus, [&](const JsonField& gpu) {
    machine.gpus.push_back({.device = gpu["device"].text(),
                            .name = gpu["name"].text(),
                            .uuid = gpu["uuid"].text(),
                            .pci = gpu["pci"].text(),
                            .sms = read_count(gpu["sms"], 0),
                            .memory_bytes = gpu["memory_bytes"].count(0, kMaxBytesMoved),
                            .mps = gpu.has("mps") && gpu["mps"].flag()});
  });
  return machine;
}

void check_kind(const JsonField& root) {
  const JsonField command = root["command"];
  if (command.text() != "bench") command.fail("\"bench\": this is no result of kvferry bench");
  root["schema"].count(kResultSchema, kResultSchema);
}

}  // namespace

Result from_json(std::string_view text, std::string_view name) {
  const nlohmann::json document = parse_bounded(text, name, kLimits);
  const JsonField root(document, name);
  check_kind(root);
  Result result{.version = root["version"].text(),
                .build = root["build"].text(),
                .commit = root["commit"].text(),
                .command = root["command_line"].text(),
                .date = root["date"].text(),
                .quick = root["quick"].flag(),
                .interrupted = root["interrupted"].flag(),
                .seconds = root["seconds"].number(0, kMaxSeconds),
                .machine = read_machine(root["machine"]),
                .figures = {},
                .skipped = {}};
  root["figures"].each(
      kMaxFigures, [&](const JsonField& figure) { result.figures.push_back(read_figure(figure)); });
  root["skipped"].each(kMaxSkipped, [&](const JsonField& skipped) {
    result.skipped.push_back({skipped["what"].text(), skipped["why"].text()});
  });
  return result;
}

}  // namespace kvferry::cli::bench
