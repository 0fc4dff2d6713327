#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <sstream>

#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "kvferry/error.hpp"
#include "path/ucx/engine.hpp"
#include "session/tls_context.hpp"

namespace kvferry::cli::doctor {
namespace {

// A machine of containers can have thousands.
constexpr std::size_t kMaxNics = 32;

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> found;
  for (std::string word; in >> word;) found.push_back(word);
  return found;
}

std::vector<std::string> addresses_of(const ifaddrs* all, const std::string& nic) {
  std::vector<std::string> found;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || nic != one->ifa_name) continue;
    const void* bytes = nullptr;
    if (one->ifa_addr->sa_family == AF_INET) {
      bytes = &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      bytes = &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr;
    } else {
      continue;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_ntop(one->ifa_addr->sa_family, bytes, text.data(), text.size()) != nullptr)
      found.emplace_back(text.data());
  }
  return found;
}

// /proc/net/route: "eth0 00000000 0100000A 0003 ...", addresses as the machine stores them.
std::string default_route(const std::string& table) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    const auto fields = words(line);
    if (fields.size() < 3 || fields[1] != "00000000") continue;
    unsigned gateway = 0;
    if (std::sscanf(fields[2].c_str(), "%x", &gateway) != 1) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    const in_addr address{gateway};
    if (gateway == 0 || ::inet_ntop(AF_INET, &address, text.data(), text.size()) == nullptr)
      return fields[0];
    return fmt::format("{} via {}", fields[0], text.data());
  }
  return {};
}

RdmaFacts probe_rdma(const std::string& root) {
  RdmaFacts facts;
  try {
    const std::string all = path::ucx::make_engine({})->describe();
    facts.library = all.substr(0, all.find(','));
  } catch (const Error& error) {
    facts.library_missing = error.what();
  }
  const std::string cards = root + "/sys/class/infiniband";
  for (const std::string& name : list_directory(cards, kMaxNics)) {
    const std::string port = fmt::format("{}/{}/ports/1/", cards, name);
    const std::string state = read_word(port + "state");  // "4: ACTIVE"
    const auto colon = state.find(": ");
    facts.cards.push_back({name, colon == std::string::npos ? state : state.substr(colon + 2),
                           read_word(port + "rate")});
  }
  facts.gpu_direct = !list_directory(root + "/sys/module/nvidia_peermem", 1).empty();
  return facts;
}

}  // namespace

NetworkFacts probe_network(const std::string& root) {
  NetworkFacts facts;
  facts.tls = session::tls_library();
  const std::string tcp = root + "/proc/sys/net/ipv4/";
  facts.congestion = read_word(tcp + "tcp_congestion_control");
  facts.congestion_available = words(read_file(tcp + "tcp_available_congestion_control"));
  facts.rdma = probe_rdma(root);
  facts.default_route = default_route(read_file(root + "/proc/net/route"));
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) all = nullptr;
  for (const std::string& name : list_directory(root + "/sys/class/net", kMaxNics)) {
    if (name == "lo") continue;
    const std::string directory = fmt::format("{}/sys/class/net/{}/", root, name);
    NicFact nic;
    nic.name = name;
    nic.up = read_word(directory + "operstate") == "up";
    nic.mtu = read_number(directory + "mtu");
    // -1 where a virtual one has no speed: then it is no number.
    nic.mbit_per_s = read_number(directory + "speed");
    nic.addresses = addresses_of(all, name);
    facts.nics.push_back(std::move(nic));
  }
  if (all != nullptr) ::freeifaddrs(all);
  return facts;
}

}  // namespace kvferry::cli::doctor
