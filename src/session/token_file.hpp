#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvferry::session {

// A pre-shared secret and what people call it.
struct Token {
  std::string name;
  std::vector<std::byte> secret;
};

inline constexpr std::size_t kMinSecretBytes = 32;
inline constexpr std::size_t kMaxSecretBytes = 1024;

// Lines of "NAME SECRET"; empty ones and those that begin with # are skipped. `file` is named in
// errors; secrets never are. Throws: Error{invalid_argument}.
std::vector<Token> parse_tokens(std::string_view text, std::string_view file);
// Throws: as parse_tokens; also where the file cannot be read, or others may read it.
std::vector<Token> read_token_file(const std::string& path);

std::string to_base64(const std::vector<std::byte>& bytes);

// The bytes of a file that holds a secret. Throws: Error{invalid_argument} where it cannot be read,
// is no regular file, is larger than 1 MiB, or can be read or written by others than its owner.
std::string read_secret_file(const std::string& path, std::string_view what);

}  // namespace kvferry::session
