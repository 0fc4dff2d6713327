#include "bench/iperf3.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "bench/figure.hpp"
#include "bench/plain_sockets.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 30s;
constexpr std::size_t kMostOutput = 1 << 20;

// One that nobody listens on now. Its server takes no 0, so that somebody might come in between.
std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (!socket || ::bind(socket.get(), any, bytes) != 0 ||
      ::getsockname(socket.get(), any, &bytes) != 0) {
    throw Error(ErrorCode::resource, "no free port for iperf3");
  }
  return ntohs(address.sin_port);
}

void pause(const Interrupts& interrupts) {
  interrupts.throw_if_requested();
  pollfd interrupt{interrupts.fd(), POLLIN, 0};
  ::poll(&interrupt, 1, 2);
}

}  // namespace

Iperf3::Iperf3(std::string program, const Interrupts& interrupts)
    : program_(std::move(program)),
      interrupts_(interrupts),
      version_(run({"--version"})),
      port_(free_port()),
      server_(ChildProcess::start_program(
          program_,
          {"--server", "--bind", "127.0.0.1", "--port", std::to_string(port_), "--forceflush"},
          false)) {
  version_.resize(version_.find_first_of("(\n") == std::string::npos
                      ? version_.size()
                      : version_.find_first_of("(\n"));
  while (version_.ends_with(' ')) version_.pop_back();
  const auto until = Clock::now() + kPatience;
  while (server_.output().find("listening") == std::string::npos) {
    if (server_.poll_exit() || Clock::now() > until) {
      throw Error(ErrorCode::resource, fmt::format("iperf3 does not listen: {}", server_.output()));
    }
    pause(interrupts_);
  }
}

std::string Iperf3::run(const std::vector<std::string>& arguments) const {
  ChildProcess process = ChildProcess::start_program(program_, arguments, false);
  const auto until = Clock::now() + kPatience;
  while (!process.poll_exit()) {
    if (Clock::now() > until) {
      throw Error(ErrorCode::resource, fmt::format("iperf3 came to no end: {}", process.output()));
    }
    pause(interrupts_);
  }
  return process.output(kMostOutput);
}

double Iperf3::copy(std::uint64_t bytes, unsigned streams, const std::string& congestion) {
  std::vector<std::string> arguments{
      "--client", "127.0.0.1",           "--port",     std::to_string(port_),
      "--bytes",  std::to_string(bytes), "--parallel", std::to_string(streams),
      "--json"};
  if (!congestion.empty()) arguments.insert(arguments.end(), {"--congestion", congestion});
  return iperf3_seconds(run(arguments), bytes);
}

Figure measure_iperf3(Iperf3& iperf3, const Iperf3Spec& spec, const Pace& pace,
                      const std::function<bool()>& stop) {
  const Work& work = spec.work;
  FigureBuilder figure(work);
  figure.by_others(iperf3.version());
  figure.note("by its own account, from one buffer that it sends again and again");
  // What we and plain sockets use, which on loopback need not be the system's.
  const std::string congestion = PlainSockets(1, spec.congestion).congestion();
  std::vector<Measure> measures{
      [&] { return iperf3.copy(work.bytes(), work.streams, congestion); }};
  figure.against(spec.sockets.ways(work.bytes()), measures);
  return figure.finish(sample(pace, measures, stop));
}

double iperf3_seconds(std::string_view report, std::uint64_t bytes) {
  const auto json = nlohmann::json::parse(report, nullptr, false);
  const nlohmann::json none;
  const auto at = [&](const nlohmann::json& from, const char* key) -> const nlohmann::json& {
    const bool there = from.is_object() && from.contains(key);
    return there ? from[key] : none;
  };
  const nlohmann::json& rate = at(at(at(json, "end"), "sum_received"), "bits_per_second");
  if (!rate.is_number() || !(rate.get<double>() > 0)) {
    const nlohmann::json& said = at(json, "error");
    throw Error(ErrorCode::resource,
                fmt::format("iperf3 gave no rate: {}",
                            quote(said.is_string() ? said.get<std::string>()
                                                   : std::string(report.substr(0, 300)))));
  }
  return 8 * static_cast<double>(bytes) / rate.get<double>();
}

}  // namespace kvferry::cli::bench
