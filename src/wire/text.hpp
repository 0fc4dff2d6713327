#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text of a peer ends up in logs and on terminals, so nothing in it may steer one.
namespace kvferry::wire {

inline constexpr std::size_t kMaxNameBytes = 64;
inline constexpr std::size_t kMaxTagBytes = 256;    // pool tags, fields of a refusal
inline constexpr std::size_t kMaxTextBytes = 4096;  // everything else

// 1 to 64 bytes of [A-Za-z0-9._-].
bool is_name(std::string_view text) noexcept;

enum class LineBreaks { refused, allowed };
// Valid UTF-8 without characters that steer a terminal or reorder a line: C0 and C1 controls, DEL,
// line and paragraph separators, bidirectional overrides. `allowed` admits tab and newline.
bool is_clean_text(std::string_view text, LineBreaks line_breaks = LineBreaks::refused) noexcept;

// The text with every byte that is_clean_text would refuse written as \xNN, cut to `max_bytes`
// (ending in "...") where it is longer. Requires: max_bytes >= 3.
std::string printable(std::string_view text, std::size_t max_bytes = kMaxTextBytes);

}  // namespace kvferry::wire
