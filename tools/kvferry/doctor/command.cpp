#include "doctor/command.hpp"

#include <CLI/CLI.hpp>
#include <optional>

#include "doctor/job.hpp"
#include "doctor/judge.hpp"
#include "doctor/probes.hpp"
#include "doctor/render.hpp"
#include "doctor/sharing.hpp"
#include "failure.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "kvferry/version.hpp"
#include "option_checks.hpp"
#include "option_error.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using namespace doctor;

constexpr const char* kText =
    R"(Say what this machine has, what each path needs, and what to do about what is missing.

Reads the system (driver, GPUs and the links between them, namespaces, memory, limits,
CPU, network), then tries it: starts processes of its own that serve a 4 MiB pool in host
memory and on each GPU, pulls scattered blocks from each into every other one, pushes
others back, and compares every byte. Changes no setting, and leaves nothing behind.

Every check is in one of four states:
  ok       as it should be
  note     worth knowing; nothing that kvferry does here suffers
  warning  something kvferry could do here is slower, or fails in some cases
  problem  something kvferry could do here does not work
Warnings and problems are findings, and come with what to do (after ->). A machine
without a GPU, or a build without CUDA on it, is healthy where host memory works.)";

constexpr const char* kFooter = R"(Examples:
  kvferry doctor
  kvferry doctor --no-sharing --json -
  CUDA_VISIBLE_DEVICES=0,1 kvferry doctor --timeout 2m

Moving blocks takes two processes and, on a GPU, about 0.5 GiB of its memory for each.

Environment:
  CUDA_VISIBLE_DEVICES  the GPUs to look at; checked for entries that name none
  XDG_RUNTIME_DIR       checked as the place of serve's Unix socket

Exit codes:
  0    healthy: no warning and no problem (there may be notes)
  1    findings: at least one warning or problem
  2    wrong usage
  6    local resource: the result could not be written
  130  interrupted)";

constexpr const char* kTests = "Tests";
constexpr const char* kOutput = "Output";

void examine(Facts& facts, const DoctorOptions& options, const SharingOptions& sharing,
             const ToolContext& context) {
  facts.host = probe_host();
  facts.gpu = ask_for_gpus(sharing, context);
  if (options.no_sharing) {
    facts.sharing.left_out.emplace_back("everything: --no-sharing");
  } else {
    facts.sharing = test_sharing(facts.gpu, sharing, context);
  }
  context.interrupts.throw_if_requested();
}

}  // namespace

CLI::App& add_doctor(CLI::App& root, DoctorOptions& o) {
  CLI::App& app = *root.add_subcommand("doctor", kText);
  app.add_flag("--no-sharing", o.no_sharing,
               "read the system only: start no processes that move blocks")
      ->group(kTests);
  number(app, "--max-gpus", o.max_gpus, {0, 64},
         "move blocks on the first so many GPUs only; the time grows with the square of it")
      ->default_str("8")
      ->group(kTests);
  app.add_option("--timeout", o.timeout,
                 "longest that one step may take (asking the driver, starting a process, one pair) "
                 "before it counts as hung; seconds, or a number and ms, s or m")
      ->type_name("TIME")
      ->check(not_empty())
      ->default_str("30s")
      ->group(kTests);
  app.add_option("--json", o.json,
                 "write the results as JSON to a file, or with - to standard output (then the "
                 "text goes to standard error)")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group(kOutput);
  app.add_flag("--debug", o.debug, "log in detail to standard error")->group(kOutput);
  app.footer(kFooter);
  return app;
}

int run_doctor(const DoctorOptions& options, const ToolContext& context) {
  if (const auto job = job_of_this_process()) return run_job(*job, context);
  SharingOptions sharing;
  sharing.max_gpus = options.max_gpus;
  sharing.timeout = std::chrono::ceil<std::chrono::milliseconds>(
      naming_option("--timeout", [&] { return parse_duration(options.timeout); }));
  std::optional<JsonTarget> json;
  if (!options.json.empty()) json.emplace(options.json);
  Facts facts;
  try {
    examine(facts, options, sharing, context);
  } catch (const Error& error) {
    const Failure failure = failure_of(error, "");
    if (json) json->write(to_document(facts, {}, failure.exit_code, failure));
    throw;
  }
  const Diagnosis diagnosis = diagnose(facts);
  context.out.line("kvferry {}\n", build_description());
  context.out.line("{}", to_text(facts, diagnosis));
  const int exit_code = diagnosis.findings() == 0 ? 0 : 1;
  if (json) json->write(to_document(facts, diagnosis, exit_code, {}));
  return exit_code;
}

}  // namespace kvferry::cli
