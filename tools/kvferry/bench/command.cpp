#include "bench/command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>

#include "bench/calibration.hpp"
#include "bench/command_line.hpp"
#include "bench/compare.hpp"
#include "bench/costs_json.hpp"
#include "bench/figure.hpp"
#include "bench/report_html.hpp"
#include "bench/result_csv.hpp"
#include "bench/result_json.hpp"
#include "bench/result_table.hpp"
#include "bench/runner.hpp"
#include "bench/suite.hpp"
#include "bench/worker.hpp"
#include "failure.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "kvferry/version.hpp"
#include "option_error.hpp"
#include "path/tcp/wire_socket.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using namespace bench;
using Clock = std::chrono::steady_clock;

// Of the promised 30 s; the rest is for what has begun, and for writing.
constexpr auto kQuickTime = std::chrono::seconds(20);
// Of a core for each core: what else runs then takes a share that shows.
constexpr double kBusy = 0.5;

// The files that results go to, opened before the work.
struct Targets {
  explicit Targets(const BenchOptions& o) {
    if ((o.json == "-") + (o.csv == "-") + (o.html == "-") > 1) {
      throw Error(ErrorCode::invalid_argument,
                  "only one of --json, --csv and --html can go to standard output");
    }
    if (!o.html.empty() && !html_refusal().empty()) {
      throw Error(ErrorCode::refused, fmt::format("--html: {}", html_refusal()));
    }
    if (!o.json.empty()) json.emplace(o.json, "--json");
    if (!o.csv.empty()) csv.emplace(o.csv, "--csv");
    if (!o.html.empty()) html.emplace(o.html, "--html");
  }
  void write(const Result& result) {
    if (json) json->write(to_json(result));
    if (csv) csv->write(to_csv(result));
    if (html) html->write(to_html(result));
  }
  std::optional<JsonTarget> json, csv, html;
};

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Result begin_result(const BenchOptions& options) {
  Result result;
  result.version = version();
  result.build = build_description();
  result.commit = commit();
  result.command = own_command_line();
  result.date = utc_now();
  result.quick = options.quick;
  result.machine = describe_machine();
  return result;
}

void describe(const Result& result, const Topology& topology, Output& out) {
  const Machine& m = result.machine;
  out.line("kvferry bench {}", result.build);
  out.field("machine",
            fmt::format("{}, {}, {} of {} memory free, {}", m.cpu, counted(m.cores, "core"),
                        format_bytes(topology.host_bytes), format_bytes(m.memory_bytes), m.kernel));
  for (const Machine::Gpu& gpu : m.gpus) {
    out.field(gpu.device, fmt::format("{}, {} SMs, {}, {}, driver {}", gpu.name, gpu.sms,
                                      format_bytes(gpu.memory_bytes), gpu.uuid, m.driver));
  }
  if (const double load = load_average(); load > kBusy * m.cores) {
    out.line(
        "warning: this machine is busy (load average {:.1f} on {}): figures may be low and "
        "noisy",
        load, counted(m.cores, "core"));
  }
}

RunSettings settings_of(const BenchOptions& options, Clock::time_point began) {
  RunSettings settings;
  if (!options.costs.empty()) {
    settings.costs = naming_option("--costs", [&] { return read_costs(options.costs).costs; });
  }
  path::tcp::check_congestion(options.congestion);
  settings.congestion = options.congestion;
  settings.ucx_transports = options.ucx_transports;
  settings.quick = options.quick;
  settings.repetitions = options.repetitions;
  settings.per_work =
      naming_option("--seconds-per-case", [&] { return parse_duration(options.seconds_per_case); });
  if (options.quick) {
    settings.repetitions = std::min<std::size_t>(settings.repetitions, 11);
    settings.per_work =
        std::min<std::chrono::duration<double>>(settings.per_work, std::chrono::milliseconds(400));
    settings.end = began + kQuickTime;
  }
  return settings;
}

int list(const std::vector<Work>& works, Output& out) {
  for (const Work& work : works) out.line("{}", work.key());
  return 0;
}

int measure(const BenchOptions& options, const ToolContext& context) {
  const auto began = Clock::now();
  Result result = begin_result(options);
  const Topology topology = read_topology(options.ucx_transports);
  Suite suite = select(make_suite(topology, options.quick), options.only);
  if (options.list) return list(suite.works, context.out);
  result.skipped = std::move(suite.skipped);
  const RunSettings settings = settings_of(options, began);
  Targets targets(options);
  describe(result, topology, context.out);
  {
    Runner runner(context, topology, settings);
    runner.run(suite.works, result);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  context.out.line("\n{}", result_table(result));
  if (const auto poor = std::ranges::count_if(result.figures, noisy); poor > 0) {
    context.out.line(
        "\nwarning: {} of {} are noisy (intervals wider than 5 %): a quieter machine or "
        "more --reps narrows them",
        poor, counted(result.figures.size(), "figure"));
  }
  if (result.interrupted) {
    context.out.line("\ninterrupted by {}: these are the figures until then",
                     context.interrupts.name());
  }
  targets.write(result);
  return result.interrupted ? kInterrupted : 0;
}

int calibrate_machine(const BenchOptions& options, const ToolContext& context) {
  const Topology topology = read_topology(options.ucx_transports);
  if (topology.gpus.empty()) {
    throw Error(
        ErrorCode::resource,
        fmt::format("--calibrate measures how GPUs copy, and there is none: {}", topology.no_gpus));
  }
  JsonTarget target(options.calibrate, "--calibrate");
  Result result = begin_result(options);
  describe(result, topology, context.out);
  {
    Runner runner(context, topology, settings_of(options, Clock::now()));
    runner.run(calibration_works(topology), result);
  }
  context.interrupts.throw_if_requested();
  const Calibration calibration = calibrate(result.figures, result.machine.gpus.front().name);
  context.out.line("{}", calibration_table(calibration));
  for (const Skipped& skipped : result.skipped) {
    context.out.line("skipped: {}: {}", skipped.what, skipped.why);
  }
  target.write(to_json(calibration));
  return 0;
}

}  // namespace

int run_bench(const BenchOptions& options, const ToolContext& context) {
  if (options.worker) return run_worker(context);
  if (options.list + !options.compare.empty() + !options.calibrate.empty() > 1) {
    throw Error(ErrorCode::invalid_argument,
                "give one of --list, --compare and --calibrate: each is instead of measuring");
  }
  if (!options.compare.empty()) {
    return run_compare(options.compare[0], options.compare[1], context.out);
  }
  if (!options.calibrate.empty()) return calibrate_machine(options, context);
  return measure(options, context);
}

}  // namespace kvferry::cli
