#include "socket_path.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "kvferry/error.hpp"
#include "quote.hpp"
#include "session/address.hpp"
#include "session/listener.hpp"

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

// A server of another container, whose pid means nothing here, answers; but not between bind() and
// listen(), so that a young socket is left alone.
constexpr int kYoungSeconds = 60;

bool is_abandoned(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  int pid = 0, end = 0;
  if (std::sscanf(name.c_str(), "kvferry-pid%d.sock%n", &pid, &end) != 1 || end == 0 ||
      name.size() != static_cast<std::size_t>(end) || pid <= 0)
    return false;
  if (::kill(pid, 0) == 0 || errno != ESRCH) return false;
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) &&
         std::time(nullptr) - info.st_mtim.tv_sec > kYoungSeconds;
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

void remove_abandoned_sockets(const std::string& socket_path) noexcept {
  try {
    std::error_code gone;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(socket_path).parent_path())) {
      const std::string path = entry.path().string();
      if (path.size() <= session::kMaxSocketPath && is_abandoned(entry.path()) &&
          !session::somebody_answers(path))
        std::filesystem::remove(entry.path(), gone);
    }
  } catch (const std::exception&) {
    // Untidy, no more.
  }
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
