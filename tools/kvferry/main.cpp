#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
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
  if (const auto lost = out.lost(); lost && !report.failure)
    report.failure = Failure{"resource", kResource, *lost};
  if (report.failure) print_error(selected, *report.failure);
  if (json) json->write(to_json(report));
  return report.failure ? report.failure->exit_code : 0;
}

// What a command that writes its own documents is called, and where these go.
struct Tool {
  const char* name;
  bool debug;
  std::vector<std::string> documents;
};

Tool tool_of(const CommandLine& line) {
  switch (line.command) {
    case Command::bench:
      return {"bench",
              line.bench.debug,
              {line.bench.json, line.bench.csv, line.bench.html, line.bench.calibrate}};
    case Command::doctor: return {"doctor", line.doctor.debug, {line.doctor.json}};
    case Command::peers: return {"peers", line.peers.debug, {line.peers.json}};
    default: return {"plan", false, {line.plan.json}};
  }
}

int dispatch_tool(const CommandLine& line, const ToolContext& context) {
  switch (line.command) {
    case Command::bench: return run_bench(line.bench, context);
    case Command::doctor: return run_doctor(line.doctor, context);
    case Command::peers: return run_peers(line.peers, context);
    default: return run_plan(line.plan, context);
  }
}

// bench, doctor, peers and plan: they write their own documents, also for findings and failures.
int run_tool(const CommandLine& line) {
  const Tool tool = tool_of(line);
  const Interrupts interrupts;
  std::signal(SIGPIPE, SIG_IGN);
  // Standard output is for one document at a time.
  const bool taken = std::count(tool.documents.begin(), tool.documents.end(), "-") > 0;
  Output out(taken ? stderr : stdout);
  const ToolContext context{out, interrupts, make_log(tool.debug)};
  std::optional<Failure> failure;
  try {
    const int code = dispatch_tool(line, context);
    const auto lost = out.lost();
    if (!lost || code != 0) return code;
    failure = Failure{"resource", kResource, *lost};
  } catch (const Error& error) {
    failure = failure_of(error, "");
  } catch (const std::bad_alloc&) {
    failure = Failure{"resource", kResource, "out of memory"};
  } catch (const std::exception& error) {
    failure = Failure{"resource", kResource, error.what()};
  }
  out.progress().clear();
  print_error({tool.name, nullptr, nullptr, {}}, *failure);
  return failure->exit_code;
}

// What was printed is there, or it is said that it is not.
int flushed(const char* command) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  fmt::print(stderr, "kvferry{}: the output could not be written: {}\n", command,
             std::strerror(errno));
  return kResource;
}

// Makes files and says so; there is nothing to interrupt.
int run_keys(const CommandLine& line) {
  try {
    run_keygen(line.keygen);
    return flushed(" keygen");
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
    const int code = app.exit(wanted);
    std::cout.flush();
    return code != 0 ? code : flushed("");
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
    case Command::peers:
    case Command::plan: return run_tool(line);
    case Command::keygen: return run_keys(line);
    case Command::completion: break;
    default: return run(line);
  }
  const std::string script = completion_script(*app, line.shell);
  std::fwrite(script.data(), 1, script.size(), stdout);
  return flushed(" completion");
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
