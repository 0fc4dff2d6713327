#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.hpp"
#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "kvferry/error.hpp"
#include "session/identity.hpp"
#include "socket_path.hpp"

namespace kvferry::cli::doctor {
namespace {

std::string failed(const char* what) { return fmt::format("{}: {}", what, std::strerror(errno)); }

std::string try_memfd_seal() {
  const UniqueFd fd(::memfd_create("kvferry-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return failed("memfd_create");
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) return failed("F_ADD_SEALS");
  if ((::fcntl(fd.get(), F_GET_SEALS) & seals) != seals) return "the seals do not stick";
  return {};
}

std::string try_pidfd() {
  const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  return fd ? std::string() : failed("pidfd_open");
}

std::string try_peer_credentials() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return failed("socketpair");
  const UniqueFd one(ends[0]), other(ends[1]);
  try {
    const auto who = session::caller_on(one.get());
    if (who.uid == ::geteuid() && who.pid == ::getpid()) return {};
    return fmt::format("SO_PEERCRED says pid {} and uid {} of this process, which has {} and {}",
                       who.pid, who.uid, ::getpid(), ::geteuid());
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

KernelFacts probe_kernel(const std::string& root) {
  return {try_memfd_seal(), try_pidfd(), try_peer_credentials(),
          read_word(root + "/proc/sys/kernel/yama/ptrace_scope")};
}

SocketFacts probe_socket() {
  SocketFacts facts;
  const Surroundings here = read_surroundings();
  facts.runtime_dir = here.runtime_dir;
  // Asking makes the fallback's directory; one that was not there before does not stay.
  const std::string made = fmt::format("{}/kvferry-{}", here.tmp_dir, here.uid);
  struct stat info{};
  const bool was_there = ::lstat(made.c_str(), &info) == 0;
  try {
    facts.path = default_socket_path(here, 5555);
  } catch (const Error& error) {
    facts.refusal = error.what();
  }
  // Only an empty directory goes, so a server that has just begun to use it keeps it.
  if (!was_there) ::rmdir(made.c_str());
  return facts;
}

}  // namespace kvferry::cli::doctor
