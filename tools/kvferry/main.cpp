#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "completion.hpp"
#include "context.hpp"
#include "failure.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "log.hpp"
#include "options.hpp"
#include "usage.hpp"

namespace kvferry::cli {
namespace {

using Command = CommandLine::Command;

constexpr int kUsage = static_cast<int>(ErrorCode::invalid_argument);
constexpr int kResource = static_cast<int>(ErrorCode::resource);

// What a command's common parts are, whichever it is.
struct Selected {
  std::string name;
  const PoolCommandOptions* options = nullptr;
  const MoveOptions* move = nullptr;
  std::string json;
};

Selected select(const CommandLine& line) {
  switch (line.command) {
    case Command::pull: return {"pull", &line.pull, &line.pull, line.pull.json};
    case Command::push: return {"push", &line.push, &line.push, line.push.json};
    case Command::explain: return {"explain", &line.explain, nullptr, line.explain.json};
    default: return {"serve", &line.serve, nullptr, {}};
  }
}

void dispatch(const CommandLine& line, Context& context) {
  switch (line.command) {
    case Command::pull: return run_pull(line.pull, context);
    case Command::push: return run_push(line.push, context);
    case Command::explain: return run_explain(line.explain, context);
    default: return run_serve(line.serve, context);
  }
}

void print_error(const Selected& selected, const Failure& failure) {
  fmt::print(stderr, "kvferry {}: {}\n", selected.name, failure.message);
  if (failure.exit_code == kUsage) fmt::print(stderr, "See kvferry {} --help\n", selected.name);
}

// Runs the command; what it throws becomes a Failure.
std::optional<Failure> attempt(const CommandLine& line, const std::string& json_path,
                               std::optional<JsonTarget>& json, Context& context) {
  try {
    if (!json_path.empty()) json.emplace(json_path);
    dispatch(line, context);
    return std::nullopt;
  } catch (const Error& error) {
    // Ctrl-C is how a server is meant to end, also while it is still filling its pool.
    if (error.code() == ErrorCode::cancelled && line.command == Command::serve) {
      context.out.line("{}: ended before it was ready", context.interrupts.name());
      return std::nullopt;
    }
    const MoveOptions* const move = select(line).move;
    return failure_of(error, move == nullptr ? "" : move->deadline);
  } catch (const std::bad_alloc&) {
    return Failure{"resource", kResource, "out of memory"};
  } catch (const std::exception& error) {
    return Failure{"resource", kResource, error.what()};
  }
}

int run(const CommandLine& line) {
  const Selected selected = select(line);
  const Interrupts interrupts;  // before any other thread
  // A client or a reader of our output that went away is an error to handle, not a reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  Output out(selected.json == "-" ? stderr : stdout);
  RunReport report;
  report.command = selected.name;
  report.options = selected.options;
  report.move = selected.move;
  Context context{out, interrupts, report, make_log(selected.options->debug)};
  std::optional<JsonTarget> json;
  report.failure = attempt(line, selected.json, json, context);
  out.progress().clear();
  if (report.failure) print_error(selected, *report.failure);
  if (json) json->write(to_json(report));
  return report.failure ? report.failure->exit_code : 0;
}

// bench, doctor and plan: they write their own documents, also for findings and failures.
int run_tool(const CommandLine& line) {
  const bool bench = line.command == Command::bench, doctor = line.command == Command::doctor;
  const std::string name = bench ? "bench" : doctor ? "doctor" : "plan";
  const std::string& json = bench ? line.bench.json : doctor ? line.doctor.json : line.plan.json;
  const Interrupts interrupts;
  std::signal(SIGPIPE, SIG_IGN);
  // Standard output is for one document at a time.
  const bool taken =
      json == "-" ||
      (bench && (line.bench.csv == "-" || line.bench.html == "-" || line.bench.calibrate == "-"));
  Output out(taken ? stderr : stdout);
  const bool debug = bench ? line.bench.debug : doctor && line.doctor.debug;
  const ToolContext context{out, interrupts, make_log(debug)};
  std::optional<Failure> failure;
  try {
    if (bench) return run_bench(line.bench, context);
    return doctor ? run_doctor(line.doctor, context) : run_plan(line.plan, context);
  } catch (const Error& error) {
    failure = failure_of(error, "");
  } catch (const std::bad_alloc&) {
    failure = Failure{"resource", kResource, "out of memory"};
  } catch (const std::exception& error) {
    failure = Failure{"resource", kResource, error.what()};
  }
  out.progress().clear();
  print_error({name, nullptr, nullptr, {}}, *failure);
  return failure->exit_code;
}

// Makes files and says so; there is nothing to interrupt.
int run_keys(const CommandLine& line) {
  try {
    run_keygen(line.keygen);
    return std::fflush(stdout) == 0 ? 0 : kResource;
  } catch (const Error& error) {
    const Failure failure = failure_of(error, "");
    print_error({"keygen", nullptr, nullptr, {}}, failure);
    return failure.exit_code;
  }
}

// Parses; an exit code where there is nothing more to do.
std::optional<int> parse(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return std::nullopt;
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    const UsageError usage = explain_usage(app, error, arguments);
    fmt::print(stderr, "{0}: {1}\nSee {0} --help\n", usage.program, usage.message);
    return kUsage;
  }
}

int guarded_main(int argc, char** argv) {
  CommandLine line;
  const std::unique_ptr<CLI::App> app = make_app(line);
  const auto arguments = expand_help(*app, {argv + std::min(argc, 1), argv + argc});
  if (const std::optional<int> done = parse(*app, arguments)) return *done;
  switch (line.command) {
    case Command::bench:
    case Command::doctor:
    case Command::plan: return run_tool(line);
    case Command::keygen: return run_keys(line);
    case Command::completion: break;
    default: return run(line);
  }
  const std::string script = completion_script(*app, line.shell);
  const bool written = std::fwrite(script.data(), 1, script.size(), stdout) == script.size();
  return written && std::fflush(stdout) == 0 ? 0 : kResource;
}

}  // namespace
}  // namespace kvferry::cli

int main(int argc, char** argv) {
  try {
    return kvferry::cli::guarded_main(argc, argv);
  } catch (const kvferry::Error& error) {
    fmt::print(stderr, "kvferry: {}\n", error.what());
    return kvferry::cli::failure_of(error, "").exit_code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "kvferry: {}\n", error.what());
    return kvferry::cli::kResource;
  }
}
