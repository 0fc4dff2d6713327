#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvferry::registry {

// Where a registry is.
struct Url {
  bool tls = false;
  std::vector<std::string> members;  // "host:port", IPv6 in brackets
  std::string user, password;        // empty: none
  std::string shown;                 // without the password
};

// "etcd://[user:password@]host:port[,host:port...]", "etcds://..." for TLS; a port left out is
// 2379. Throws: Error{invalid_argument} saying what is wrong, without showing a password.
Url parse_url(std::string_view text);

}  // namespace kvferry::registry
