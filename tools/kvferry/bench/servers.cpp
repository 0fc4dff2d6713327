#include "bench/servers.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "keygen/new_file.hpp"
#include "kvferry/error.hpp"
#include "session/keys.hpp"
#include "session/token_file.hpp"
#include "socket_path.hpp"

namespace kvferry::cli::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A first use of a GPU can take long where many are installed.
constexpr auto kReadyPatience = 120s;
constexpr auto kEndPatience = 5s;

std::string make_directory() {
  // Short, since a socket's path has 107 bytes; 0700, so that the names in it are ours.
  std::string path =
      fmt::format("{}/kvferry-bench-{}-XXXXXX", read_surroundings().tmp_dir, ::getpid());
  if (::mkdtemp(path.data()) == nullptr) {
    throw Error(ErrorCode::resource, fmt::format("cannot make a directory for sockets, {}: {}",
                                                 path, std::strerror(errno)));
  }
  return path;
}

}  // namespace

std::vector<std::string> ServerSpec::arguments(const std::string& socket,
                                               const std::string& token_file) const {
  // Half a block more, so that the decimal's rounding loses none.
  const double half_block = 0.5 * static_cast<double>(shape.block_bytes() * shape.layers);
  const double gib = (static_cast<double>(bytes()) + half_block) / (1u << 30);
  std::vector<std::string> all{"serve",
                               "--port",
                               "0",
                               "--socket",
                               socket,
                               "--device",
                               device,
                               "--layers",
                               std::to_string(shape.layers),
                               "--kv",
                               std::to_string(shape.kv),
                               "--heads",
                               std::to_string(shape.kv_heads),
                               "--dims",
                               std::to_string(shape.head_dim),
                               "--block-size",
                               std::to_string(shape.block_tokens),
                               "--dtype",
                               std::string(to_string(shape.dtype)),
                               "--available-memory",
                               fmt::format("{:.15f}", gib),
                               "--fill",
                               "indexed",
                               "--writable"};
  if (tls) all.insert(all.end(), {"--token-file", token_file});
  if (!congestion.empty()) all.insert(all.end(), {"--congestion", congestion});
  if (!ucx_transports.empty()) all.insert(all.end(), {"--ucx-transports", ucx_transports});
  return all;
}

std::string ServerSpec::key() const {
  return fmt::format("{} {} {} {} {} {} {}", device, shape.to_string(), blocks, instance,
                     tls ? "tls" : "plain", congestion, ucx_transports);
}

Servers::Servers(const Interrupts& interrupts)
    : interrupts_(interrupts), directory_(make_directory()) {}

Servers::~Servers() {
  end_unless({});
  if (!token_file_.empty()) ::unlink(token_file_.c_str());
  ::rmdir(directory_.c_str());
}

void Servers::end_unless(const std::vector<ServerSpec>& specs) {
  std::vector<std::string> keys;
  for (const ServerSpec& spec : specs) keys.push_back(spec.key());
  const auto going = [&](const std::pair<const std::string, Server>& entry) {
    return std::ranges::find(keys, entry.first) == keys.end();
  };
  for (auto& entry : running_) {
    if (going(entry)) entry.second.process.ask_to_end();
  }
  for (auto at = running_.begin(); at != running_.end();) {
    if (!going(*at)) {
      ++at;
      continue;
    }
    at->second.process.wait_end(kEndPatience);
    ::unlink(at->second.socket.c_str());  // its own work, but a killed one leaves it
    at = running_.erase(at);
  }
}

void Servers::make_token() {
  if (!token_file_.empty()) return;
  const auto secret = session::draw<wire::Secret>();
  std::string path = directory_ + "/token";
  write_new({{path, fmt::format("bench {}\n", session::to_base64({secret.begin(), secret.end()})),
              true}});
  token_file_ = std::move(path);
}

void Servers::keep(const std::vector<ServerSpec>& specs) {
  end_unless(specs);
  for (const ServerSpec& spec : specs) {
    if (has(spec)) continue;
    std::string socket = fmt::format("{}/{}.sock", directory_, started_++);
    if (spec.tls) make_token();
    ChildProcess process = ChildProcess::start(spec.arguments(socket, token_file_), false);
    running_.emplace(spec.key(), Server{std::move(process), socket, "unix:" + socket, false});
  }
  try {
    for (const ServerSpec& spec : specs) wait_ready(running_.at(spec.key()), spec);
  } catch (...) {
    end_unless({});  // what is half started is of no use to anybody
    throw;
  }
}

void Servers::wait_ready(Server& server, const ServerSpec& spec) const {
  const auto until = Clock::now() + kReadyPatience;
  while (!server.ready) {
    const std::string output = server.process.output();
    if (output.find("ready: ") != std::string::npos) return found_ready(server, spec, output);
    interrupts_.throw_if_requested();
    if (server.process.poll_exit() || Clock::now() > until) {
      throw Error(ErrorCode::resource,
                  fmt::format("the server for {} on {} did not start: {}", spec.shape.to_string(),
                              spec.device, server.process.output()));
    }
    pollfd interrupt{interrupts_.fd(), POLLIN, 0};
    ::poll(&interrupt, 1, 2);
  }
}

void Servers::found_ready(Server& server, const ServerSpec& spec, const std::string& output) {
  server.ready = true;
  if (!spec.tls) return;
  // Whoever finds the Unix socket takes it, and would be let in without TLS: with it gone, a client
  // does as on another host.
  ::unlink(server.socket.c_str());
  constexpr std::string_view kHost = "127.0.0.1:";
  const std::size_t host = output.find(kHost, output.find("ready: "));
  if (host == std::string::npos) {
    throw Error(ErrorCode::resource,
                fmt::format("a server does not say where it listens: {}", output));
  }
  const std::size_t end = output.find_first_not_of("0123456789", host + kHost.size());
  server.address = output.substr(host, end == std::string::npos ? end : end - host);
}

const std::string& Servers::address(const ServerSpec& spec) const {
  return running_.at(spec.key()).address;
}

}  // namespace kvferry::cli::bench
