#include "block_bytes.hpp"

#include <cstring>

namespace kvferry::peers {

void make_content(std::uint64_t seed, std::uint32_t layer, std::uint32_t id,
                  std::vector<std::uint64_t>& words) {
  const std::uint64_t base =
      seed * 0xD1342543DE82EF95ull + ((std::uint64_t{layer} << 32) | id) * 0x9E3779B97F4A7C15ull;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint64_t x = base + i * 0xBF58476D1CE4E5B9ull;
    x ^= x >> 29;
    x *= 0x94D049BB133111EBull;
    words[i] = x ^ (x >> 32);
  }
}

std::uint64_t wrong_bytes(const std::vector<std::uint64_t>& found,
                          const std::vector<std::uint64_t>& wanted) {
  if (found == wanted) return 0;
  const std::size_t bytes = found.size() * sizeof(std::uint64_t);
  const auto* const a = reinterpret_cast<const std::byte*>(found.data());
  const auto* const b = reinterpret_cast<const std::byte*>(wanted.data());
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < bytes; ++i) wrong += a[i] != b[i];
  return wrong;
}

}  // namespace kvferry::peers
