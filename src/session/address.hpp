#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kvferry::session {

// Where a node listens: a Unix socket, or a TCP host and port.
struct Address {
  bool is_unix = false;
  std::string path;  // of the Unix socket
  std::string host;  // name or literal, without brackets
  std::uint16_t port = 0;
  std::string to_string() const;
};

// "unix:/path", "host:port", "1.2.3.4:port" or "[v6]:port".
// Throws: Error{invalid_argument} naming what is wrong with the text.
Address parse_address(std::string_view text);

// The longest path a Unix socket address takes: sizeof(sockaddr_un::sun_path) less the terminating
// zero.
inline constexpr std::size_t kMaxSocketPath = 107;

}  // namespace kvferry::session
