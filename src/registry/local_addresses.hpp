#pragma once

#include <string>
#include <vector>

namespace kvferry::registry {

// Addresses of this host's interfaces that are up, as text: IPv4 before IPv6; neither loopback nor
// those that mean something on one link only. Throws: Error{resource}.
std::vector<std::string> interface_addresses();

// What to announce for a node that listens on these ("host:port"): a wildcard becomes the addresses
// of the interfaces (of its family for 0.0.0.0), or loopback where there are none. Unix sockets
// only where there is nothing else.
std::vector<std::string> announced_addresses(const std::vector<std::string>& listening,
                                             const std::vector<std::string>& interfaces);

}  // namespace kvferry::registry
