#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Small files of /proc and /sys: bounded, and what cannot be read is simply not known.
namespace kvferry::cli::doctor {

inline constexpr std::size_t kMaxFileBytes = 1 << 20;

// The first kMaxFileBytes of it; empty where it cannot be read.
std::string read_file(const std::string& path);
// Its first line, without spaces around it.
std::string read_word(const std::string& path);
// A whole number alone in its file (or in the first word of it).
std::optional<std::uint64_t> read_number(const std::string& path);
// The number after "key" in lines of "key:  number ...".
std::optional<std::uint64_t> field_of(std::string_view text, std::string_view key);
// The text after "key" and a colon, trimmed: "model name : X" -> X.
std::string text_field(std::string_view text, std::string_view key);
// "always [madvise] never" -> "madvise"; text without brackets as it is.
std::string bracketed(const std::string& text);
// Names in a directory, sorted, at most `most`; empty where it cannot be read.
std::vector<std::string> list_directory(const std::string& path, std::size_t most = 4096);
std::string trimmed(std::string_view text);

}  // namespace kvferry::cli::doctor
