#include "peers/command.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>

#include "failure.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "option_checks.hpp"
#include "option_error.hpp"
#include "peers/render.hpp"
#include "units.hpp"

namespace kvferry::cli {
namespace {

using namespace peers;

constexpr const char* kText = R"(List the servers that are registered, with geometry and load.

Reads the registry in which kvferry serve --name NAME --registry URL makes an entry, and
prints one line for each pool: by which name and address to reach its server, health,
geometry (layers x kv x heads x dims x tokens), blocks, size and where they lie, peers
connected and the most there can be, bytes served, and age of the server.

Health is ready, full (no place for a further peer), or what the server says of itself.
Loads are as new as the last renewal of the entry, a third of its --lease ago at most.
An entry that is none of this release is left out and said on standard error.)";

constexpr const char* kFooter = R"(Examples:
  kvferry peers --registry etcd://127.0.0.1:2379
  kvferry peers --registry etcd://a:2379,b:2379,c:2379 --watch
  KVFERRY_REGISTRY=etcd://127.0.0.1:2379 kvferry peers --json -

Environment:
  KVFERRY_REGISTRY  --registry where it is not given; keeps a password off the command
                    line, which other users can read

Exit codes:
  0  done, also where nobody is registered; of --watch: ended by Ctrl-C or SIGTERM
  2  wrong usage
  3  the registry cannot be reached
  4  refused: by the registry (user, password, permission)
  6  local resource: no libcurl, the results cannot be written)";

Snapshot look(const Registry& registry) {
  return {registry.url(), registry.list(), std::chrono::system_clock::now()};
}

void print(const Snapshot& snapshot, const PeersOptions& options, JsonTarget* json,
           const ToolContext& context) {
  if (!options.watch) {
    context.out.line("{}", to_text(snapshot));
    if (json != nullptr) json->write(to_json(snapshot, std::nullopt, 2) + '\n');
    return;
  }
  if (json != nullptr) {
    json->write(to_json(snapshot, std::nullopt, -1) + '\n');
    return;
  }
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(snapshot.at.time_since_epoch());
  const auto of_day = now.count() % 86'400;
  context.out.line("{:02}:{:02}:{:02} UTC, {}:\n{}", of_day / 3600, of_day / 60 % 60, of_day % 60,
                   counted(snapshot.peers.size(), "server"), to_text(snapshot));
}

// Prints anew whenever who is there has changed. A registry that is lost for a while is waited for.
void watch(const Registry& registry, const PeersOptions& options,
           std::chrono::milliseconds interval, JsonTarget* json, const ToolContext& context) {
  std::optional<std::string> known;
  bool lost = false;
  while (!context.interrupts.requested()) {
    try {
      const Snapshot snapshot = look(registry);
      const std::string now = essence(snapshot);
      if (lost || known != now) print(snapshot, options, json, context);
      known = now;
      lost = false;
    } catch (const Error& error) {
      // At the first look it is an answer, later a passing trouble.
      if (error.code() != ErrorCode::unreachable || !known) throw;
      if (!lost) context.log(LogLevel::warning, fmt::format("{}; trying on", error.what()));
      lost = true;
    }
    pollfd interrupted{context.interrupts.fd(), POLLIN, 0};
    ::poll(&interrupted, 1, static_cast<int>(interval.count()));
  }
}

}  // namespace

CLI::App& add_peers(CLI::App& root, PeersOptions& o) {
  CLI::App& app = *root.add_subcommand("peers", kText);
  add_registry(app, o.registry, "Where");
  app.add_flag("--watch", o.watch,
               "go on until Ctrl-C and print anew when a server comes, goes or changes")
      ->group("What");
  app.add_option("--interval", o.interval,
                 "with --watch: time between two looks; seconds, or a number and ms, s or m")
      ->type_name("TIME")
      ->check(not_empty())
      ->default_str("1s")
      ->group("What");
  app.add_option("--json", o.json,
                 "write the results as JSON to a file, or with - to standard output (then the text "
                 "goes to standard error); with --watch only -, one line for each change")
      ->type_name("FILE|-")
      ->check(not_empty())
      ->group("Output");
  app.add_flag("--debug", o.debug, "log in detail to standard error")->group("Output");
  app.footer(kFooter);
  return app;
}

int run_peers(const PeersOptions& options, const ToolContext& context) {
  if (options.registry.url.empty())
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--registry is missing; give etcd://HOST:2379, or set {}", kRegistryVariable));
  if (options.watch && !options.json.empty() && options.json != "-")
    throw Error(ErrorCode::invalid_argument, "--watch writes --json to standard output only: -");
  const auto interval =
      naming_option("--interval", [&] { return parse_duration(options.interval); });
  const auto interval_ms =
      std::clamp(std::chrono::ceil<std::chrono::milliseconds>(interval),
                 std::chrono::milliseconds(10), std::chrono::milliseconds(3'600'000));
  const Registry registry = open_registry(options.registry, context.log);
  std::optional<JsonTarget> json;
  if (!options.json.empty()) json.emplace(options.json);
  JsonTarget* const target = json ? &*json : nullptr;
  try {
    if (options.watch) {
      watch(registry, options, interval_ms, target, context);
    } else {
      print(look(registry), options, target, context);
    }
  } catch (const Error& error) {
    const Snapshot none{registry.url(), {}, std::chrono::system_clock::now()};
    if (json) json->write(to_json(none, failure_of(error, ""), options.watch ? -1 : 2) + '\n');
    throw;
  }
  return 0;
}

}  // namespace kvferry::cli
