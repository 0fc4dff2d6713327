#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/judge.hpp"

namespace kvferry::cli::doctor {
namespace {

// From here on the work for each frame shows.
constexpr std::uint64_t kFastMbit = 25'000;
constexpr std::uint64_t kSmallFrames = 1500;

Check congestion(const NetworkFacts& facts) {
  Check check{"network", "congestion control", State::ok, facts.congestion, {}, {}};
  if (facts.congestion.empty()) check.value = "not readable";
  if (!facts.congestion_available.empty())
    check.value += fmt::format(" (available: {})", fmt::join(facts.congestion_available, ", "));
  if (facts.congestion.starts_with("bbr")) {
    check.state = State::note;
    check.meaning =
        "BBR paces what it sends: over loopback and within a rack it reached a third of reno's "
        "rate";
    check.advice =
        "between near hosts use reno or cubic; as root: sysctl -w "
        "net.ipv4.tcp_congestion_control=cubic";
  }
  return check;
}

Check nic(const NicFact& facts) {
  Check check{"network", facts.name, State::ok, facts.up ? "up" : "down", {}, {}};
  if (facts.mtu) check.value += fmt::format(", MTU {}", *facts.mtu);
  if (facts.mbit_per_s) {
    const double gbit = static_cast<double>(*facts.mbit_per_s) / 1000;
    check.value += fmt::format(", {:g} Gbit/s", gbit);
  }
  if (!facts.addresses.empty())
    check.value += fmt::format(", {}", fmt::join(facts.addresses, ", "));
  if (facts.up && facts.mbit_per_s.value_or(0) >= kFastMbit &&
      facts.mtu.value_or(0) <= kSmallFrames) {
    check.state = State::note;
    check.meaning = "small frames cost more of the CPU for the same bytes";
    check.advice = fmt::format(
        "where every switch and host on the way takes them, as root: ip link set dev {} mtu 9000",
        facts.name);
  }
  return check;
}

}  // namespace

std::vector<Check> judge_network(const NetworkFacts& facts) {
  std::vector<Check> checks{{"network", "TLS", State::ok, facts.tls, {}, {}}, congestion(facts)};
  for (const NicFact& one : facts.nics) checks.push_back(nic(one));
  if (facts.nics.empty())
    checks.push_back({"network", "interfaces", State::note, "none but loopback",
                      "no other host can be reached from here",
                      "in a container: attach it to a network, or run it with the host's"});
  checks.push_back({"network",
                    "default route",
                    State::ok,
                    facts.default_route.empty() ? "none" : facts.default_route,
                    {},
                    {}});
  return checks;
}

}  // namespace kvferry::cli::doctor
