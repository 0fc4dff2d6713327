#include "socket_path.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

// Why a directory is not fit for a socket that only we may reach; empty: it is.
std::string unfit(const std::string& dir, std::uint32_t uid) {
  struct stat info{};
  // lstat: a symbolic link in /tmp could lead anywhere, and change later.
  if (::lstat(dir.c_str(), &info) != 0) return std::strerror(errno);
  if (!S_ISDIR(info.st_mode)) return "it is not a directory";
  if (info.st_uid != uid) return fmt::format("it belongs to user {}, not to {}", info.st_uid, uid);
  if ((info.st_mode & 077) != 0) {
    return fmt::format("it is open to others (mode {:04o}, want 0700)", info.st_mode & 07777);
  }
  return {};
}

}  // namespace

Surroundings read_surroundings() {
  Surroundings here;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, before any thread is started
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR")) here.runtime_dir = dir;
  here.uid = ::geteuid();
  here.pid = static_cast<std::uint32_t>(::getpid());
  return here;
}

std::string default_socket_path(const Surroundings& here, std::uint16_t port) {
  const std::string name = port != 0 ? fmt::format("kvferry-{}.sock", port)
                                     : fmt::format("kvferry-pid{}.sock", here.pid);
  const std::string& runtime = here.runtime_dir;
  if (runtime.starts_with('/') && unfit(runtime, here.uid).empty()) return runtime + '/' + name;
  const std::string dir = fmt::format("{}/kvferry-{}", here.tmp_dir, here.uid);
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    throw Error(ErrorCode::resource, fmt::format("cannot make the socket's directory {}: {}; give "
                                                 "another place with --socket PATH",
                                                 dir, std::strerror(errno)));
  }
  if (const std::string why = unfit(dir, here.uid); !why.empty()) {
    throw Error(ErrorCode::resource,
                fmt::format("the socket's directory {} cannot be trusted: {}; remove it, or give "
                            "another place with --socket PATH",
                            dir, why));
  }
  return dir + '/' + name;
}

void require_safe_directory(const std::string& socket_path) {
  const std::size_t slash = socket_path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : socket_path.substr(0, slash + 1);
  struct stat info{};
  if (::stat(dir.c_str(), &info) != 0) {
    throw Error(ErrorCode::resource, fmt::format("--socket: the directory {} cannot be used: {}",
                                                 quote_path(dir), std::strerror(errno)));
  }
  if ((info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0) {
    throw Error(ErrorCode::resource,
                fmt::format("--socket: others can replace files in the directory {} (mode {:04o}); "
                            "choose one that only you can write",
                            quote_path(dir), info.st_mode & 07777));
  }
}

}  // namespace kvferry::cli
