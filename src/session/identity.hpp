#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/credentials.hpp"
#include "kvferry/transfer.hpp"
#include "session/tls.hpp"

namespace kvferry::session {

// 16 bytes that name this boot of this kernel (/proc/sys/kernel/random/boot_id). Two processes with
// equal ones share a host. All zero where the kernel does not say. Throws: Error{resource} (no file
// descriptor is left to ask with, at the first call).
using BootId = std::array<std::byte, 16>;
const BootId& boot_id();

// 16 random bytes, drawn once in this process: tell it from any other, whatever pid namespaces say.
const std::array<std::byte, 16>& process_nonce();

// Who is at the other end of a connection, and what it may do. Of a Unix socket the kernel tells;
// over the network it is what a credential proved.
struct Caller {
  pid_t pid = 0;  // 0: in a pid namespace we cannot see, or on another host
  uid_t uid = 0;
  UniqueFd pidfd;  // readable once that process is gone; empty where the kernel has none
  bool over_network = false;
  bool encrypted = false;
  std::string address{};  // over the network: "10.0.0.7:4711"
  // Of `address`, where we dialled it: behind a mapped port the peer itself knows another one.
  std::uint16_t dialled_port = 0;
  // Where it came from, as limits count: an address, of IPv6 the /64. Empty: local, or dialled.
  std::string source{};
  Proven proven{};
  Permission rights{};
  // "pid 4711"; "10.0.0.7:4711, token 'reader'"
  std::string describe() const;
  bool may_see(std::string_view pool) const;
  bool may(Direction direction, std::string_view pool) const;
};
// Throws: Error{resource} when the kernel does not tell.
Caller caller_on(int unix_socket);

// What a list of permissions grants to whoever proved `who`; an empty list grants everything.
// nullopt: nothing, not even a greeting.
std::optional<Permission> rights_of(const std::vector<Permission>& permissions, const Proven& who);

// True once the process behind a pidfd has ended.
bool has_exited(int pidfd) noexcept;

}  // namespace kvferry::session
