#include "bench/command_line.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>

namespace kvferry::cli::bench {
namespace {

bool plain(char c) {
  const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return word || std::string_view("-_./:=,+@%").find(c) != std::string_view::npos;
}

std::string quoted(const std::string& word) {
  if (!word.empty() && std::ranges::all_of(word, plain)) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string own_command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::string line = "kvferry";
  // The first word is where the program lies, which is nobody's business.
  for (std::size_t at = all.find('\0'); at != std::string::npos && at + 1 < all.size();) {
    const std::size_t end = all.find('\0', at + 1);
    line += ' ' + quoted(all.substr(at + 1, end == std::string::npos ? end : end - at - 1));
    at = end;
  }
  return line;
}

}  // namespace kvferry::cli::bench
