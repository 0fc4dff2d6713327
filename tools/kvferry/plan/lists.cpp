#include "plan/lists.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "kvferry/error.hpp"
#include "option_checks.hpp"

namespace kvferry::cli::planning {
namespace {

constexpr std::uint64_t kMaxTokens = std::uint64_t{1} << 40;
constexpr std::size_t kMaxRequests = 16;

}  // namespace

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

std::vector<std::uint64_t> parse_tokens(std::string_view text) {
  std::vector<std::uint64_t> tokens;
  for (const std::string_view part : split_list(text)) {
    const std::string error = whole_number_error(std::string(part), {1, kMaxTokens});
    if (!error.empty()) throw Error(ErrorCode::invalid_argument, "--tokens: " + error);
    std::uint64_t value = 0;
    std::from_chars(part.data(), part.data() + part.size(), value);
    if (std::ranges::find(tokens, value) != tokens.end()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("--tokens: {} is there twice", value));
    }
    tokens.push_back(value);
  }
  if (tokens.size() > kMaxRequests) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--tokens: {} lengths; give at most {}", tokens.size(), kMaxRequests));
  }
  return tokens;
}

}  // namespace kvferry::cli::planning
