#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bench/result.hpp"

namespace kvferry::cli::bench {

// What `bench --json` writes and `bench --compare` reads; docs/json.md describes it.
inline constexpr int kResultSchema = 1;
inline constexpr std::size_t kMaxResultBytes = std::size_t{16} << 20;  // that are read
std::string to_json(const Result& result);

// Reads what to_json() wrote, of this version or a later one with the same schema: keys that are
// not known are passed over. The text may be anybody's: its size and every field are checked.
// `name` is what errors call it ("old.json").
// Throws: Error{invalid_argument} naming the field, its value and what it should be.
Result from_json(std::string_view text, std::string_view name);

}  // namespace kvferry::cli::bench
