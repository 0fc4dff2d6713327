#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/unique_fd.hpp"

namespace kvferry::session {

// 16 bytes that name this boot of this kernel (/proc/sys/kernel/random/boot_id). Two processes with
// equal ones share a host. All zero where the kernel does not say.
using BootId = std::array<std::byte, 16>;
BootId boot_id();

// 16 random bytes, drawn once in this process: tell it from any other, whatever pid namespaces say.
const std::array<std::byte, 16>& process_nonce();

// Who is at the other end of a Unix socket, as the kernel says it.
struct Credentials {
  pid_t pid = 0;  // 0: in a pid namespace we cannot see
  uid_t uid = 0;
  UniqueFd pidfd;  // readable once that process is gone; empty where the kernel has none
};
// Throws: Error{resource} when the kernel does not tell.
Credentials peer_credentials(int unix_socket);

// True once the process behind a pidfd has ended.
bool has_exited(int pidfd) noexcept;

}  // namespace kvferry::session
