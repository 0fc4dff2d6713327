#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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

Check card(const RdmaCard& facts) {
  Check check{"network",
              facts.name,
              State::ok,
              fmt::format("RDMA, {}{}{}", facts.state.empty() ? "state unknown" : facts.state,
                          facts.rate.empty() ? "" : ", ", facts.rate),
              {},
              {}};
  if (!facts.state.empty() && facts.state != "ACTIVE") {
    check.state = State::note;
    check.meaning = "no blocks can go over it";
    check.advice =
        fmt::format("ibv_devinfo -d {}; look at its cable, and at the subnet manager", facts.name);
  }
  return check;
}

Check ucx(const RdmaFacts& facts) {
  Check check{"network", "UCX", State::ok, facts.library, {}, {}};
  if (facts.library.empty()) {
    check.value = facts.library_missing;
    if (!facts.cards.empty()) {
      check.state = State::warning;
      check.meaning = "the RDMA cards here stay unused: blocks go over TCP";
      check.advice = "install UCX (Debian: libucx0), or let LD_LIBRARY_PATH lead to the vendor's";
    }
  } else if (facts.cards.empty()) {
    check.value += "; no RDMA card";
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
  for (const RdmaCard& one : facts.rdma.cards) checks.push_back(card(one));
  checks.push_back(ucx(facts.rdma));
  return checks;
}

// Nothing is moved over either by doctor: the other host it is for is not here.
std::vector<PathState> judge_network_paths(const Facts& facts) {
  const NetworkFacts& network = facts.host.network;
  std::vector<std::string> up;
  for (const NicFact& nic : network.nics)
    if (nic.up) up.push_back(nic.name);
  PathState tcp{"tcp", true, "any memory, of this and of other hosts", {}, {}};
  tcp.needs = {{"TLS, for listening beyond loopback", network.tls, !network.tls.empty()},
               {"an interface for other hosts",
                up.empty() ? "none is up" : fmt::format("{}", fmt::join(up, ", ")), !up.empty()}};
  tcp.usable = !up.empty();
  tcp.reason = up.empty() ? "only within this host, by name (--path tcp)"
                          : "not tried; kvferry bench --only tcp measures it over loopback";
  const RdmaFacts& rdma = network.rdma;
  const auto active =
      std::ranges::count_if(rdma.cards, [](const RdmaCard& c) { return c.state == "ACTIVE"; });
  PathState over_ucx{"ucx", false, "any memory, of other hosts, over RDMA", {}, {}};
  over_ucx.needs = {{"UCX", rdma.library.empty() ? "no" : rdma.library, !rdma.library.empty()},
                    {"an RDMA card that is active",
                     fmt::format("{} of {}", active, rdma.cards.size()), active > 0}};
  if (!facts.gpu.devices.empty())
    over_ucx.needs.push_back({"GPUDirect RDMA, or GPU memory goes through stages",
                              rdma.gpu_direct ? "nvidia_peermem" : "no nvidia_peermem",
                              rdma.gpu_direct});
  over_ucx.usable = over_ucx.needs[0].met && over_ucx.needs[1].met;
  over_ucx.reason = over_ucx.usable ? "not tried: it takes another host"
                    : rdma.cards.empty()
                        ? "no RDMA card here"
                        : "needs " + std::ranges::find_if(over_ucx.needs, [](const Need& n) {
                                       return !n.met;
                                     })->what;
  return {std::move(tcp), std::move(over_ucx)};
}

}  // namespace kvferry::cli::doctor
