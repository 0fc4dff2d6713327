#include "session/identity.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "session/open_files.hpp"

namespace kvferry::session {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

BootId read_boot_id() {
  constexpr const char* kFile = "/proc/sys/kernel/random/boot_id";
  const UniqueFd file(::open(kFile, O_RDONLY | O_CLOEXEC));
  if (!file) throw_if_out_of_files({errno, asio::system_category()}, kFile);
  std::array<char, 64> text{};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
  BootId id{};
  std::size_t nibble = 0;
  for (const char c :
       std::string_view(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0)) {
    const int digit = hex_digit(c);
    if (digit < 0 || nibble == 32) continue;
    id[nibble / 2] |= static_cast<std::byte>(digit << (nibble % 2 ? 0 : 4));
    ++nibble;
  }
  return nibble == 32 ? id : BootId{};
}

}  // namespace

const BootId& boot_id() {
  static const BootId id = read_boot_id();
  return id;
}

const std::array<std::byte, 16>& process_nonce() {
  static const auto nonce = [] {
    std::array<std::byte, 16> drawn{};
    if (::getrandom(drawn.data(), drawn.size(), 0) != static_cast<ssize_t>(drawn.size()))
      throw Error(ErrorCode::resource, "the kernel gives no random bytes (getrandom)");
    return drawn;
  }();
  return nonce;
}

Caller caller_on(int unix_socket) {
  ucred kernel{};
  socklen_t size = sizeof kernel;
  if (::getsockopt(unix_socket, SOL_SOCKET, SO_PEERCRED, &kernel, &size) != 0)
    throw Error(
        ErrorCode::resource,
        std::string("the kernel does not say who is at the other end of the Unix socket: ") +
            std::strerror(errno));
  Caller who;
  who.pid = kernel.pid;
  who.uid = kernel.uid;
  // The pid could have been reused between connect and here; a wrong pidfd can only delay a revoke,
  // never free early, because process_vm checks it again and region ids are random.
  if (who.pid > 0) who.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0)));
  return who;
}

std::string Caller::describe() const {
  if (!over_network) return fmt::format("pid {}", pid);
  switch (proven.by) {
    case Proven::By::token:
      // Of a server we know that it has our token, not what it calls it.
      return proven.name.empty() ? fmt::format("{}, by our token", address)
                                 : fmt::format("{}, token '{}'", address, proven.name);
    case Proven::By::certificate: return fmt::format("{}, certificate '{}'", address, proven.name);
    default: return address;
  }
}

bool Caller::may_see(std::string_view pool) const {
  return rights.pools.empty() ||
         std::find(rights.pools.begin(), rights.pools.end(), pool) != rights.pools.end();
}

bool Caller::may(Direction direction, std::string_view pool) const {
  return may_see(pool) && (direction == Direction::push ? rights.write : rights.read);
}

std::optional<Permission> rights_of(const std::vector<Permission>& permissions, const Proven& who) {
  if (permissions.empty()) return Permission{};
  const Permission* others = nullptr;
  for (const Permission& permission : permissions) {
    if (permission.credential == "*") {
      others = &permission;
    } else if (permission.credential == who.name) {
      return permission;
    }
  }
  if (others == nullptr) return std::nullopt;
  return *others;
}

bool has_exited(int pidfd) noexcept {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & (POLLIN | POLLHUP)) != 0;
}

}  // namespace kvferry::session
