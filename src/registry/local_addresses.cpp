#include "registry/local_addresses.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "kvferry/error.hpp"
#include "session/address.hpp"

namespace kvferry::registry {
namespace {

constexpr std::string_view kUnix = "unix:";

// Empty: an address that others cannot use.
std::string text_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    const std::uint32_t host = ntohl(in.s_addr);
    const bool link_local = host >> 16 == 0xA9FE;  // 169.254.0.0/16
    if (host >> 24 == 127 || link_local) return {};
    return ::inet_ntop(AF_INET, &in, text.data(), text.size());
  }
  if (address->sa_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(&in) || IN6_IS_ADDR_LINKLOCAL(&in)) return {};
    return ::inet_ntop(AF_INET6, &in, text.data(), text.size());
  }
  return {};
}

bool is_v6(const std::string& host) { return host.find(':') != std::string::npos; }

}  // namespace

std::vector<std::string> interface_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0)
    throw Error(ErrorCode::resource,
                fmt::format("the addresses of this host cannot be read (getifaddrs): {}",
                            std::strerror(errno)));
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<std::string> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    std::string text = text_of(entry->ifa_addr);
    if (!text.empty() && std::find(found.begin(), found.end(), text) == found.end())
      found.push_back(std::move(text));
  }
  std::stable_partition(found.begin(), found.end(),
                        [](const std::string& host) { return !is_v6(host); });
  return found;
}

std::vector<std::string> announced_addresses(const std::vector<std::string>& listening,
                                             const std::vector<std::string>& interfaces) {
  std::vector<std::string> addresses;
  const auto add = [&](const std::string& host, std::uint16_t port) {
    std::string text = session::Address{false, {}, host, port}.to_string();
    if (std::find(addresses.begin(), addresses.end(), text) == addresses.end())
      addresses.push_back(std::move(text));
  };
  for (const std::string& text : listening) {
    if (text.starts_with(kUnix)) continue;
    const session::Address address = session::parse_address(text);
    const bool any_v4 = address.host == "0.0.0.0", any = any_v4 || address.host == "::";
    if (!any) add(address.host, address.port);
    if (!any) continue;
    const std::size_t before = addresses.size();
    // A wildcard of IPv6 is not one of IPv4: each listener takes its own family.
    for (const std::string& host : interfaces)
      if (is_v6(host) != any_v4) add(host, address.port);
    if (addresses.size() == before) add(any_v4 ? "127.0.0.1" : "::1", address.port);
  }
  if (!addresses.empty()) return addresses;
  std::copy_if(listening.begin(), listening.end(), std::back_inserter(addresses),
               [](const std::string& text) { return text.starts_with(kUnix); });
  return addresses;
}

}  // namespace kvferry::registry
