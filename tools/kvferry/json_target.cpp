#include "json_target.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

// How long whoever reads a named pipe may take to open it.
constexpr auto kReaderTime = std::chrono::seconds(10);

// Opening a pipe that nobody reads would wait for ever.
UniqueFd open_in_place(const std::string& path) {
  const auto until = std::chrono::steady_clock::now() + kReaderTime;
  for (;;) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd) {
      ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
      return fd;
    }
    if (errno != ENXIO || std::chrono::steady_clock::now() >= until) return fd;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

std::string JsonTarget::reason() const {
  return fmt::format("{}: cannot write {}: {}", option_, quote_path(path_),
                     errno == ENXIO ? "nothing reads this pipe" : std::strerror(errno));
}

JsonTarget::JsonTarget(const std::string& path, std::string option)
    : path_(path), option_(std::move(option)) {
  struct stat info{};
  const bool there = path != "-" && ::stat(path.c_str(), &info) == 0;
  if (path == "-") {
    fd_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  } else if (there && !S_ISREG(info.st_mode)) {
    fd_ = open_in_place(path);
  } else {
    // A link stays one, and the file that it names is replaced.
    if (there) path_ = std::filesystem::canonical(path);
    temporary_ = fmt::format("{}.tmp-{}", path_, ::getpid());
    fd_.reset(::open(temporary_.c_str(), O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0644));
  }
  if (!fd_) {
    temporary_.clear();
    throw Error(ErrorCode::invalid_argument, reason());
  }
}

JsonTarget::~JsonTarget() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void JsonTarget::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw Error(ErrorCode::resource, reason());
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (temporary_.empty()) return;
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw Error(ErrorCode::resource, reason());
  }
  temporary_.clear();
}

}  // namespace kvferry::cli
