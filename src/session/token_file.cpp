#include "session/token_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "wire/text.hpp"

namespace kvferry::session {
namespace {

constexpr std::size_t kMaxFileBytes = 1u << 20;
constexpr std::size_t kMaxTokens = 4096;

[[noreturn]] void bad(std::string_view file, std::size_t line, std::string_view why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("token file {}, line {}: {}; a line is NAME SECRET, as kvferry keygen "
                          "token makes it",
                          file, line, why));
}

// Nothing where it is not base64.
std::vector<std::byte> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > 4 * kMaxSecretBytes) return {};
  std::vector<std::byte> bytes(text.size() / 4 * 3);
  const int count = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()));
  if (count < 0) return {};
  // It counts padding as bytes.
  std::size_t padding = 0;
  while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<std::size_t>(count) - padding);
  return bytes;
}

std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const auto end = std::min(line.find_first_of(kBlank), line.size());
  const auto word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

}  // namespace

std::vector<Token> parse_tokens(std::string_view text, std::string_view file) {
  std::vector<Token> tokens;
  std::set<std::string, std::less<>> names;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto name = take_word(line);
    if (name.empty() || name.starts_with('#')) continue;
    const auto secret = take_word(line);
    if (!wire::is_name(name)) bad(file, number, "the name must be 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!names.insert(std::string(name)).second) bad(file, number, "this name was there before");
    Token token{std::string(name), from_base64(secret)};
    if (token.secret.empty()) bad(file, number, "the secret is not base64");
    if (token.secret.size() < kMinSecretBytes || token.secret.size() > kMaxSecretBytes)
      bad(file, number,
          fmt::format("the secret has {} bytes; give {} to {} random ones", token.secret.size(),
                      kMinSecretBytes, kMaxSecretBytes));
    if (!take_word(line).empty()) bad(file, number, "there is more behind the secret");
    if (tokens.size() == kMaxTokens) bad(file, number, "more than 4096 tokens");
    tokens.push_back(std::move(token));
  }
  if (tokens.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("token file {}: there is no token in it; make one with kvferry keygen "
                            "token",
                            file));
  return tokens;
}

std::vector<Token> read_token_file(const std::string& path) {
  return parse_tokens(read_secret_file(path, "token file"), path);
}

std::string to_base64(const std::vector<std::byte>& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int count = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                    reinterpret_cast<const unsigned char*>(bytes.data()),
                                    static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(count));
  return text;
}

std::string read_secret_file(const std::string& path, std::string_view what) {
  const auto bad_file = [&](const std::string& why) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{} {}: {}", what, path, why));
  };
  // O_NONBLOCK: a pipe must not keep us waiting for somebody to write.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) bad_file(fmt::format("cannot be read: {}", std::strerror(errno)));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) bad_file(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) bad_file("it is no regular file");
  if ((info.st_mode & 077) != 0)
    bad_file(
        fmt::format("others than its owner may use it (mode {:04o}); take that away with "
                    "chmod 600",
                    info.st_mode & 07777));
  std::string text;
  char part[4096];
  for (;;) {
    const ssize_t got = ::read(fd.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) bad_file(fmt::format("cannot be read: {}", std::strerror(errno)));
    if (got == 0) return text;
    text.append(part, static_cast<std::size_t>(got));
    if (text.size() > kMaxFileBytes) bad_file("it is larger than 1 MiB");
  }
}

}  // namespace kvferry::session
