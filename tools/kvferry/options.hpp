#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bench/command.hpp"
#include "credential_options.hpp"
#include "doctor/command.hpp"
#include "geometry_options.hpp"
#include "keygen/command.hpp"
#include "network_options.hpp"
#include "peers/command.hpp"
#include "plan/command.hpp"
#include "registry_options.hpp"

namespace CLI {
class App;
}

// What the user typed: plain values, still unchecked against one another. Their defaults here are
// the ones --help shows.
namespace kvferry::cli {

struct EndpointOptions {
  std::string ip = "127.0.0.1";
  std::uint16_t port = 5555;
  std::string socket;  // empty: serve: the default path; clients: connect to ip and port
  // Clients: names or addresses, by commas; empty: the one above. And the option they came by.
  std::string servers{};
  const char* servers_option = "--from";
  RegistryFlags registry{};
};

struct PoolCommandOptions {
  EndpointOptions endpoint;
  CredentialOptions credentials;
  GeometryOptions geometry;
  std::string device = "auto";
  NetworkCommandOptions network;
  UcxOptions ucx;
  bool debug = false;
};

struct ServeOptions : PoolCommandOptions {
  std::string fill = "ones";
  bool writable = false;
  std::string name;       // empty: not registered
  std::string advertise;  // empty: what it listens on
  std::string lease = "5s";
  // The example's server and client took the same flags; these two mean nothing to a server.
  std::uint64_t unused_input_tokens = 1024;
  std::uint32_t unused_count = 1;
};

// pull and push.
struct MoveOptions : PoolCommandOptions {
  std::optional<std::uint64_t> input_tokens;  // 1024
  std::uint32_t count = 1;
  std::string blocks = "first";
  std::string into = "same";
  std::string layer_range;  // empty: all
  std::string path = "auto";
  bool allow_slow = false;
  std::string copy = "auto";
  std::uint32_t sms = 0;
  std::string deadline;  // empty: none
  bool no_verify = false;
  std::string json;
};
inline constexpr std::uint64_t kDefaultInputTokens = 1024;

struct ExplainOptions : PoolCommandOptions {
  std::string json;
};

struct CommandLine {
  enum class Command : std::uint8_t {
    none,
    serve,
    pull,
    push,
    explain,
    bench,
    doctor,
    plan,
    peers,
    keygen,
    completion
  };
  Command command = Command::none;
  ServeOptions serve;
  MoveOptions pull, push;
  ExplainOptions explain;
  BenchOptions bench;
  DoctorOptions doctor;
  PlanOptions plan;
  PeersOptions peers;
  KeygenOptions keygen;
  std::string shell;  // of completion
};

// The whole command line, its help included; parsing it fills `line`, which must outlive it.
std::unique_ptr<CLI::App> make_app(CommandLine& line);

// Every exit code and what it means, for the help.
std::string exit_codes_help();

}  // namespace kvferry::cli
