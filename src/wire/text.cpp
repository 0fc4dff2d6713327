#include "wire/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace kvferry::wire {
namespace {

constexpr std::uint32_t kInvalid = UINT32_MAX;

struct CodePoint {
  std::uint32_t value = kInvalid;
  std::size_t bytes = 1;
};

// The first character. Overlong forms, surrogates and values past U+10FFFF are invalid: other
// decoders may read them as something that was not checked here.
CodePoint first_code_point(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  std::uint32_t value = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return {};
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10FFFF) return {};
  if (value >= 0xD800 && value <= 0xDFFF) return {};
  return {value, length};
}

bool steers(std::uint32_t c) noexcept {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

bool is_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kMaxNameBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool is_clean_text(std::string_view text, LineBreaks line_breaks) noexcept {
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.value == kInvalid) return false;
    const bool breaks = c.value == '\n' || c.value == '\t';
    if (steers(c.value) && !(breaks && line_breaks == LineBreaks::allowed)) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view kCut = "...";
  std::string out;
  std::size_t cut_at = 0;  // as much of `out` as leaves room for kCut, whole characters only
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.value == kInvalid || steers(c.value)) {
      for (std::size_t i = 0; i < c.bytes; ++i)
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint8_t>(text[i]));
    } else {
      out += text.substr(0, c.bytes);
    }
    text.remove_prefix(c.bytes);
    if (out.size() + kCut.size() <= max_bytes) cut_at = out.size();
    if (out.size() > max_bytes) return out.substr(0, cut_at).append(kCut);
  }
  return out;
}

}  // namespace kvferry::wire
