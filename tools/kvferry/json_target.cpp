#include "json_target.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {

std::string JsonTarget::reason() const {
  return fmt::format("{}: cannot write {}: {}", option_, quote_path(path_), std::strerror(errno));
}

JsonTarget::JsonTarget(const std::string& path, std::string option)
    : path_(path), option_(std::move(option)) {
  if (path == "-") {
    fd_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  } else {
    struct stat info{};
    const bool in_place = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
    if (!in_place) temporary_ = fmt::format("{}.tmp-{}", path, ::getpid());
    const int flags = O_WRONLY | O_CLOEXEC | (in_place ? 0 : O_CREAT | O_EXCL);
    fd_.reset(::open((in_place ? path : temporary_).c_str(), flags, 0644));
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
