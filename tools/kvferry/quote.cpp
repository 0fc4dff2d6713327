#include "quote.hpp"

#include <fmt/format.h>

namespace kvferry::cli {

std::string quote(std::string_view text, std::size_t shown) {
  std::string out = "\"";
  for (const char c : text.substr(0, shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7E || c == '"' || c == '\\') {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += text.size() > shown ? "...\"" : "\"";
  return out;
}

}  // namespace kvferry::cli
