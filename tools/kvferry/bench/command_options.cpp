#include <CLI/CLI.hpp>
#include <initializer_list>
#include <string>

#include "bench/command.hpp"
#include "bench/help_text.hpp"
#include "option_checks.hpp"

namespace kvferry::cli {
namespace {

constexpr const char* kWhat = "What to measure";
constexpr const char* kNetworks = "Networks";
constexpr const char* kOther = "Instead of measuring";
constexpr const char* kOutput = "Output";

void add_what(CLI::App& app, BenchOptions& o) {
  app.add_flag("--quick", o.quick, "a first look at everything, in less than 30 s")->group(kWhat);
  app.add_option("--only", o.only,
                 "only these: groups (throughput, blocks, sms, latency, posting, clients, tcp, "
                 "ucx) or parts of the keys that --list shows, such as nvlink/ or latency/host")
      ->type_name("TEXT[,TEXT]")
      ->check(not_empty())
      ->default_str("everything")
      ->group(kWhat);
  number(app, "--reps", o.repetitions, {11, 100'000},
         "repetitions of each case; latencies and the cost of posting take more")
      ->default_str("31")
      ->group(kWhat);
  app.add_option("--seconds-per-case", o.seconds_per_case,
                 "no more repetitions of a case after this time, once there are 11; seconds, or a "
                 "number and ms, s or m")
      ->type_name("TIME")
      ->default_str("3s")
      ->group(kWhat);
  app.add_option("--costs", o.costs,
                 "let the clients choose their copy method by this file of --calibrate")
      ->type_name("FILE")
      ->check(not_empty())
      ->default_str("built in")
      ->group(kWhat);
}

void add_networks(CLI::App& app, BenchOptions& o) {
  app.add_option("--congestion", o.congestion,
                 "group tcp: TCP congestion control of all connections, also of the reference's, "
                 "e.g. cubic, reno or bbr. doctor lists what this kernel has")
      ->type_name("NAME")
      ->check(not_empty())
      ->default_str("the system's; not bbr")
      ->group(kNetworks);
  app.add_option("--ucx-transports", o.ucx_transports,
                 "group ucx: what UCX may use, as UCX_TLS names it, e.g. tcp. Beyond RDMA UCX "
                 "copies in software (docs/rdma.md); the group is skipped where there is no RDMA "
                 "card and nothing is named here")
      ->type_name("LIST")
      ->check(not_empty())
      ->default_str("RDMA alone")
      ->group(kNetworks);
}

void add_other(CLI::App& app, BenchOptions& o) {
  app.add_flag("--list", o.list, "print the keys of what would be measured, and measure nothing")
      ->group(kOther);
  app.add_option("--compare", o.compare,
                 "print what changed beyond noise from the older to the newer of two --json files")
      ->type_name("OLD.json NEW.json")
      ->expected(2)
      ->group(kOther);
  app.add_option("--calibrate", o.calibrate,
                 "measure what the choice between kernel and copy engine rests on, print it beside "
                 "what is built in, and write it for --costs")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group(kOther);
}

void add_output(CLI::App& app, BenchOptions& o) {
  app.add_option("--json", o.json, "write the results as JSON; -: to standard output")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group(kOutput);
  app.add_option("--csv", o.csv, "write the figures as CSV; -: to standard output")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group(kOutput);
  app.add_option("--html", o.html, "write a page with plots that needs nothing else")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group(kOutput);
  app.add_flag("--debug", o.debug, "log in detail to standard error")->group(kOutput);
  app.add_flag("--worker", o.worker, "clients of a benchmark, told what to do on standard input")
      ->group(kHidden);
}

// What is given is heeded, or refused.
void exclude(CLI::App& app, const char* mode, std::initializer_list<const char*> ignored) {
  for (const char* name : ignored) app.get_option(mode)->excludes(app.get_option(name));
}

}  // namespace

CLI::App& add_bench(CLI::App& root, BenchOptions& options) {
  CLI::App& app = *root.add_subcommand("bench", bench::kBenchText);
  add_what(app, options);
  add_networks(app, options);
  add_other(app, options);
  add_output(app, options);
  exclude(app, "--list", {"--reps", "--seconds-per-case", "--costs", "--json", "--csv", "--html"});
  exclude(app, "--compare",
          {"--quick", "--only", "--reps", "--seconds-per-case", "--costs", "--congestion",
           "--ucx-transports", "--json", "--csv", "--html"});
  exclude(app, "--calibrate", {"--only", "--json", "--csv", "--html"});
  app.footer(bench::kBenchFooter);
  return app;
}

}  // namespace kvferry::cli
