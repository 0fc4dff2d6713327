#include "session/address.hpp"

#include <fmt/format.h>

#include <charconv>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

[[noreturn]] void bad(std::string_view text, std::string_view why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("address '{}': {}; give host:port, [v6]:port or unix:/path",
                          text.substr(0, 200), why));
}

std::uint16_t parse_port(std::string_view text, std::string_view port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (error != std::errc{} || end != port.data() + port.size() || value == 0 || value > 65535)
    bad(text, fmt::format("port '{}' is not a number from 1 to 65535", port.substr(0, 20)));
  return static_cast<std::uint16_t>(value);
}

}  // namespace

std::string Address::to_string() const {
  if (is_unix) return "unix:" + path;
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

Address parse_address(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.is_unix = true;
    address.path = text.substr(5);
    if (address.path.empty()) bad(text, "the socket path is empty");
    if (address.path.size() > kMaxSocketPath)
      bad(text, fmt::format("the socket path has {} bytes, the system's limit is {}",
                            address.path.size(), kMaxSocketPath));
    if (address.path.find('\0') != std::string::npos) bad(text, "the socket path holds a zero");
    return address;
  }
  if (text.size() > 300) bad(text, "too long");
  std::string_view host, port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != ':')
      bad(text, "expected [v6]:port");
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) bad(text, "no port");
    if (text.find(':', colon + 1) != std::string_view::npos)
      bad(text, "an IPv6 address needs brackets");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.empty()) bad(text, "no host");
  address.host = host;
  address.port = parse_port(text, port);
  return address;
}

}  // namespace kvferry::session
