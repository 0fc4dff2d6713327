#include "keygen/new_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

[[noreturn]] void failed(const std::string& path, const char* why) {
  throw Error(ErrorCode::resource, fmt::format("cannot write {}: {}", quote_path(path), why));
}

void write_one(const NewFile& file) {
  // From the first moment nobody else can open it.
  const UniqueFd fd(::open(file.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                           file.secret ? 0600 : 0644));
  if (!fd && errno == EEXIST)
    throw Error(ErrorCode::resource,
                fmt::format("{} is there already; move it away, or choose another --name or --dir",
                            quote_path(file.path)));
  if (!fd) failed(file.path, std::strerror(errno));
  for (std::size_t done = 0; done < file.text.size();) {
    const ssize_t wrote = ::write(fd.get(), file.text.data() + done, file.text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const int error = errno;
      ::unlink(file.path.c_str());
      failed(file.path, std::strerror(error));
    }
    done += static_cast<std::size_t>(wrote);
  }
}

}  // namespace

void write_new(const std::vector<NewFile>& files) {
  std::size_t written = 0;
  try {
    for (; written < files.size(); ++written) write_one(files[written]);
  } catch (...) {
    for (std::size_t i = 0; i < written; ++i) ::unlink(files[i].path.c_str());
    throw;
  }
}

std::string read_file(const std::string& path, std::string_view what) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.good() && text.empty())
    throw Error(ErrorCode::resource, fmt::format("cannot read {}: {}", quote_path(path), what));
  return text;
}

}  // namespace kvferry::cli
