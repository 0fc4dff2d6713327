#include "plan/command.hpp"

#include <CLI/CLI.hpp>

#include "failure.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "option_checks.hpp"
#include "plan/help_text.hpp"
#include "plan/plan_report.hpp"

namespace kvferry::cli {
namespace {

constexpr const char* kGeometry = "Geometry (of the whole model)";
constexpr const char* kQuestions = "What to plan for";

CLI::Option* text(CLI::App& app, const char* name, std::string& value, const char* type,
                  const char* description) {
  return app.add_option(name, value, description)->type_name(type)->check(not_empty());
}

void add_questions(CLI::App& app, PlanOptions& o) {
  text(app, "--tokens", o.tokens, "N,N,...", "lengths of requests, at most 16 of them")
      ->default_str("1024")
      ->group(kQuestions);
  text(app, "--available-memory", o.available_memory, "GB",
       "memory for the cache of one rank in GB, fractions allowed; GB here means GiB (2^30 bytes). "
       "It holds (memory / block bytes) / layers blocks, rounded down")
      ->default_str("4")
      ->group(kQuestions);
  text(app, "--link", o.links, "nvlink|pcie5|100gbe|all|LINKS",
       "links, with commas between them; see Links below")
      ->default_str(
          "nvlink4, same-gpu, pcie5, host, nvlink5, ndr400, 100gbe and 25gbe, or only "
          "that of --gb-per-s")
      ->group(kQuestions);
  text(app, "--gb-per-s", o.gb_per_s, "X",
       "a link of your own: its rate in 10^9 bytes a second, as measured by kvferry bench")
      ->group(kQuestions);
  text(app, "--start-us", o.start_us, "X",
       "with --gb-per-s: microseconds that a transfer takes before its first byte")
      ->default_str("0")
      ->group(kQuestions);
}

}  // namespace

CLI::App& add_plan(CLI::App& root, PlanOptions& options) {
  CLI::App& app = *root.add_subcommand("plan", planning::kText);
  add_geometry(app, options, kGeometry);
  add_questions(app, options);
  text(app, "--json", options.json, "FILE|-",
       "write the results as JSON to a file, or with - to standard output (then the text goes to "
       "standard error)")
      ->group("Output");
  app.footer(planning::kFooter);
  return app;
}

int run_plan(const PlanOptions& options, const ToolContext& context) {
  std::optional<JsonTarget> json;
  if (!options.json.empty()) json.emplace(options.json);
  std::optional<planning::Report> report;
  try {
    report = planning::make_report(options);
  } catch (const Error& error) {
    if (json) json->write(planning::to_json(options, report, failure_of(error, "")));
    throw;
  }
  context.out.line("{}", planning::to_text(*report, options));
  if (json) json->write(planning::to_json(options, report, std::nullopt));
  return 0;
}

}  // namespace kvferry::cli
