#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "help.hpp"
#include "help_text.hpp"
#include "option_checks.hpp"
#include "ucx_options.hpp"

namespace kvferry::cli {
namespace {

constexpr std::uint64_t kMax32 = UINT32_MAX;
constexpr std::uint64_t kMaxTokens = std::uint64_t{1} << 40;
constexpr const char* kWhere = "Where";
constexpr const char* kByName = "By name";
constexpr const char* kGeometry = "Geometry (must be equal on both sides)";
constexpr const char* kMemory = "Memory";
constexpr const char* kWhat = "What to move";
constexpr const char* kHow = "How to move it";
constexpr const char* kOutput = "Output";

// What other tools take as one word comes in two here. An IPv6 address has two colons at least.
std::string ip_error(const std::string& given) {
  const std::size_t colon = given.rfind(':');
  const bool bracketed = given.starts_with('[') && !given.ends_with(']');
  if (colon == given.npos || (given.find(':') != colon && !bracketed)) return {};
  const std::string host = given.substr(0, colon), port = given.substr(colon + 1);
  if (host == "unix")
    return fmt::format("{} is no IP address; give --socket {}", quote(given), quote_path(port));
  if (!host.empty() && whole_number_error(port, {0, 65535}).empty())
    return fmt::format("{} holds a port; give --ip {} --port {}", quote(given),
                       host.find_first_of("\" ") == host.npos ? host : quote(host), port);
  return quote(given) + " is no IP address; the port has an option of its own: --port";
}

void add_endpoint(CLI::App& app, EndpointOptions& o, const char* socket_text) {
  app.add_option("--ip", o.ip, "IP address of the server")
      ->type_name("ADDRESS")
      ->check(not_empty())
      ->check(CLI::Validator(ip_error, ""))
      ->default_str(o.ip)
      ->group(kWhere);
  number(app, "--port", o.port, {0, 65535}, "TCP port of the server")->default_str("5555");
  app.get_option("--port")->group(kWhere);
  app.add_option("--socket", o.socket, socket_text)
      ->type_name("PATH")
      ->check(not_empty())
      ->group(kWhere);
}

// Which servers a client goes to, by name or address.
void add_servers(CLI::App& app, EndpointOptions& o, const char* names, const char* text) {
  CLI::Option* const servers = app.add_option(names, o.servers, text)
                                   ->type_name("SERVERS")
                                   ->check(not_empty())
                                   ->default_str("the server at --ip and --port")
                                   ->group(kByName);
  for (const char* other : {"--ip", "--port", "--socket"}) servers->excludes(app.get_option(other));
  add_registry(app, o.registry, kByName);
}

void add_announcement(CLI::App& app, ServeOptions& o) {
  app.add_option("--name", o.name,
                 "name of this server, shown to clients, and by which they find it in the registry")
      ->type_name("NAME")
      ->check(not_empty())
      ->default_str("none: not registered")
      ->group(kByName);
  add_registry(app, o.endpoint.registry, kByName);
  app.add_option("--advertise", o.advertise,
                 "addresses to register, with commas between them, where others reach this server "
                 "by other ones than it listens on")
      ->type_name("HOST:PORT,...")
      ->check(not_empty())
      ->default_str("--ip and --port; for 0.0.0.0 or ::, the addresses of the interfaces")
      ->group(kByName);
  app.add_option("--lease", o.lease,
                 "time after which the registry forgets a server that died, 1 s to 1 h; whole "
                 "seconds, or with a unit (s, m, h). Renewed three times as often")
      ->type_name("TIME")
      ->check(not_empty())
      ->default_str("5s")
      ->group(kByName);
}

void add_memory(CLI::App& app, PoolCommandOptions& o) {
  app.add_option("--available-memory", o.geometry.available_memory,
                 "memory for the pool in GB, fractions allowed; GB here means GiB (2^30 bytes). It "
                 "holds (memory / block bytes) / layers blocks, rounded down")
      ->type_name("GB")
      ->default_str("4")
      ->group(kMemory);
  app.add_option("--device", o.device,
                 "where the pool lies; auto: cuda:0 where there is a usable GPU, else host memory")
      ->type_name("auto|host|cuda:N")
      ->default_str("auto")
      ->group(kMemory);
}

void add_output(CLI::App& app, bool& debug, std::string* json) {
  if (json != nullptr) {
    app.add_option("--json", *json,
                   "write the results as JSON to a file, or with - to standard output (then the "
                   "text goes to standard error)")
        ->type_name("FILE|-")
        ->check(not_empty())
        ->group(kOutput);
  }
  app.add_flag("--debug", debug, "log in detail to standard error")->group(kOutput);
}

void add_serve(CLI::App& root, ServeOptions& o) {
  CLI::App& app = *root.add_subcommand("serve", kServeText);
  add_endpoint(app, o.endpoint,
               "Unix socket for clients on this host (default: see Environment below)");
  add_server_credentials(app, o.credentials);
  add_announcement(app, o);
  add_geometry(app, o.geometry, kGeometry);
  add_memory(app, o);
  constexpr const char* kPool = "The served pool";
  choice(app, "--fill", o.fill, "ones|indexed",
         "what the pool holds; ones: every element 1; indexed: every element depends on its layer, "
         "block, kv, token, head and dim, so that a misplaced byte shows")
      ->default_str("ones")
      ->group(kPool);
  app.add_flag("--writable", o.writable, "let clients push into the pool")->group(kPool);
  add_serve_network(app, o.network);
  add_ucx(app, o.ucx);
  add_output(app, o.debug, nullptr);
  constexpr const char* kUnused = "Accepted, so that the flags of pull fit here too, and not used";
  number(app, "--input-tokens", o.unused_input_tokens, {1, kMaxTokens}, "see pull")->group(kUnused);
  number(app, "--count", o.unused_count, {1, kMax32}, "see pull")->group(kUnused);
  app.footer(kServeFooter);
}

void add_what(CLI::App& app, MoveOptions& o, bool pull) {
  number(app, "--input-tokens", o.input_tokens, {1, kMaxTokens},
         "length of the request; moves ceil(tokens / block size) blocks of every layer")
      ->default_str("1024")
      ->group(kWhat);
  app.add_option("--blocks", o.blocks,
                 "block ids in the server's pool; first: 0, 1, 2, ...; scattered: random ones, the "
                 "same for the same seed (0 if not given); IDS: a list like 0-7,12,40")
      ->type_name("first|scattered[:SEED]|IDS")
      ->default_str("first")
      ->group(kWhat);
  app.add_option("--into", o.into,
                 pull ? "block ids in the local pool that receive them, one for each of --blocks"
                      : "block ids in the local pool that are sent, one for each of --blocks")
      ->type_name("same|scattered[:SEED]|IDS")
      ->default_str("same")
      ->group(kWhat);
  app.add_option("--layer-range", o.layer_range, "only layers A to B-1")
      ->type_name("A:B")
      ->check(not_empty())
      ->default_str("all layers")
      ->group(kWhat);
  number(app, "--count", o.count, {1, 1'000'000}, "transfers, one after another")
      ->default_str("1")
      ->group(kWhat);
}

void add_how(CLI::App& app, MoveOptions& o) {
  choice(app, "--path", o.path, "auto|cuda_ipc|host_shm|ucx|tcp",
         "how bytes travel; auto: the best that works (kvferry explain shows why)")
      ->default_str("auto")
      ->group(kHow);
  app.add_flag("--allow-slow", o.allow_slow,
               "accept a path that is slower than what this hardware offers")
      ->group(kHow);
  choice(app, "--copy", o.copy, "auto|kernel|engine",
         "GPU: copy by a kernel, by the copy engine (uses no SMs), or whichever is faster")
      ->default_str("auto")
      ->group(kHow);
  number(app, "--sms", o.sms, {0, 65535}, "GPU: at most so many SMs for the copy kernel")
      ->default_str("0: as many as help")
      ->group(kHow);
  app.add_option(
         "--deadline", o.deadline,
         "give up on a transfer, and on connecting, after this time; seconds, or a number and ns, "
         "us, ms, s, m or h")
      ->type_name("TIME")
      ->check(not_empty())
      ->default_str("none")
      ->group(kHow);
  app.add_flag("--no-verify", o.no_verify, "do not check the bytes afterwards")->group(kHow);
  add_move_network(app, o.network);
  add_ucx(app, o.ucx);
}

void add_move(CLI::App& root, MoveOptions& o, bool pull) {
  CLI::App& app = *root.add_subcommand(pull ? "pull" : "push", pull ? kPullText : kPushText);
  add_what(app, o, pull);
  add_how(app, o);
  add_endpoint(app, o.endpoint, "connect to this Unix socket instead of --ip and --port");
  if (pull) {
    add_servers(
        app, o.endpoint, "--from",
        "servers to pull from, by name (needs --registry) or address (host:port, unix:PATH), "
        "with commas between them; see Several servers below");
  } else {
    o.endpoint.servers_option = "--to";
    add_servers(
        app, o.endpoint, "--to",
        "the server to push to, by name (needs --registry) or address (host:port, unix:PATH)");
  }
  add_client_credentials(app, o.credentials);
  add_geometry(app, o.geometry, kGeometry);
  add_memory(app, o);
  add_output(app, o.debug, &o.json);
  app.footer(fmt::format("{}\n\n{}", pull ? kPullFooter : kPushFooter, exit_codes_help()));
}

void add_explain(CLI::App& root, ExplainOptions& o) {
  CLI::App& app = *root.add_subcommand("explain", kExplainText);
  add_endpoint(app, o.endpoint, "connect to this Unix socket instead of --ip and --port");
  add_servers(
      app, o.endpoint, "--from,--to",
      "servers to explain, by name (needs --registry) or address (host:port, unix:PATH), with "
      "commas between them");
  add_client_credentials(app, o.credentials);
  add_geometry(app, o.geometry, kGeometry);
  add_memory(app, o);
  // Nothing is moved, so nothing is sized; taken, so that the flags of pull fit here too.
  app.get_option("--available-memory")->group(kHidden);
  add_ucx(app, o.ucx);
  add_output(app, o.debug, &o.json);
  app.footer(fmt::format("{}\n\n{}", kExplainFooter, exit_codes_help()));
}

}  // namespace

std::unique_ptr<CLI::App> make_app(CommandLine& line) {
  auto app = std::make_unique<CLI::App>(kRootText, "kvferry");
  app->formatter(std::make_shared<HelpFormatter>());
  app->set_help_flag("-h,--help", "show this help");
  app->set_version_flag("-V,--version", version_text(),
                        "show the version and what this build can do");
  app->require_subcommand(1);
  add_serve(*app, line.serve);
  add_move(*app, line.pull, true);
  add_move(*app, line.push, false);
  add_explain(*app, line.explain);
  add_peers(*app, line.peers);
  add_bench(*app, line.bench);
  add_doctor(*app, line.doctor);
  add_plan(*app, line.plan);
  add_keygen(*app, line.keygen);
  CLI::App& completion = *app->add_subcommand("completion", kCompletionText);
  choice(completion, "SHELL", line.shell, "bash|zsh|fish", "the shell to complete in")->required();
  completion.footer(kCompletionFooter);
  app->footer(fmt::format("{}\n\n{}", kRootFooter, exit_codes_help()));
  using Command = CommandLine::Command;
  for (const auto& [name, command] :
       {std::pair{"serve", Command::serve}, std::pair{"pull", Command::pull},
        std::pair{"push", Command::push}, std::pair{"explain", Command::explain},
        std::pair{"bench", Command::bench}, std::pair{"doctor", Command::doctor},
        std::pair{"plan", Command::plan}, std::pair{"peers", Command::peers},
        std::pair{"keygen", Command::keygen}, std::pair{"completion", Command::completion}}) {
    app->get_subcommand(name)->callback([&line, command = command] { line.command = command; });
  }
  return app;
}

}  // namespace kvferry::cli
