#include "doctor/read_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.hpp"

namespace kvferry::cli::doctor {
namespace {

// The lines of `text` one after another; `use` says whether to go on.
template <typename F>
void each_line(std::string_view text, F&& use) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!use(text.substr(0, end))) return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop == text.data()) return std::nullopt;
  return value;
}

}  // namespace

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpaces) - first + 1));
}

std::string read_file(const std::string& path) {
  // O_NONBLOCK: a path that turns out to be a pipe must not hold us up.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  std::string text;
  if (!fd) return text;
  char buffer[4096];
  while (text.size() < kMaxFileBytes) {
    const std::size_t room = std::min(sizeof buffer, kMaxFileBytes - text.size());
    const ssize_t got = ::read(fd.get(), buffer, room);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

std::string read_word(const std::string& path) {
  const std::string text = read_file(path);
  return trimmed(std::string_view(text).substr(0, text.find('\n')));
}

std::optional<std::uint64_t> read_number(const std::string& path) {
  return leading_number(read_word(path));
}

std::optional<std::uint64_t> field_of(std::string_view text, std::string_view key) {
  std::optional<std::uint64_t> value;
  each_line(text, [&](std::string_view line) {
    if (!line.starts_with(key) || !line.substr(key.size()).starts_with(':')) return true;
    value = leading_number(line.substr(key.size() + 1));
    return false;
  });
  return value;
}

std::string text_field(std::string_view text, std::string_view key) {
  std::string value;
  each_line(text, [&](std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || trimmed(line.substr(0, colon)) != key) return true;
    value = trimmed(line.substr(colon + 1));
    return false;
  });
  return value;
}

std::string bracketed(const std::string& text) {
  const std::size_t open = text.find('['), close = text.find(']', open);
  if (open == std::string::npos || close == std::string::npos) return text;
  return text.substr(open + 1, close - open - 1);
}

std::vector<std::string> list_directory(const std::string& path, std::size_t most) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    if (names.size() == most) break;
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace kvferry::cli::doctor
