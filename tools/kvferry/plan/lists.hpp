#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace kvferry::cli::planning {

// "a,b" -> its parts, empty ones too.
std::vector<std::string_view> split_list(std::string_view text);

// "1024,8192": up to 16 lengths of requests, each from 1 to 2^40 tokens.
// Throws: Error{invalid_argument} naming --tokens and the part that is none.
std::vector<std::uint64_t> parse_tokens(std::string_view text);

}  // namespace kvferry::cli::planning
