#include "path/tcp/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace kvferry::path::tcp {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78u;  // reflected

using Table = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b]: what byte b contributes when k more bytes follow it.
constexpr Table make_tables() {
  Table tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0u);
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::uint32_t b = 0; b < 256; ++b)
      tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xFF];
  return tables;
}
constexpr Table kTables = make_tables();

// Without the inversions at both ends.
std::uint32_t by_tables(const std::byte* at, std::size_t bytes, std::uint32_t crc) noexcept {
  for (; bytes >= 8; at += 8, bytes -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; bytes > 0; ++at, --bytes)
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*at)) & 0xFF];
  return crc;
}

#if defined(__x86_64__)

// The instruction takes three cycles but may start every cycle, so three strands run side by side;
// a strand's remainder is moved over the bytes that follow it by a table for that length.
constexpr std::size_t kStrand = 4096;

using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

// The remainder after kStrand zero bytes, for each byte of the remainder before: it is linear.
Shift make_shift() {
  static constexpr std::array<std::byte, kStrand> kZeros{};
  std::array<std::uint32_t, 32> of_bit{};
  for (std::size_t bit = 0; bit < 32; ++bit)
    of_bit[bit] = by_tables(kZeros.data(), kStrand, 1u << bit);
  Shift shift{};
  for (std::size_t k = 0; k < 4; ++k)
    for (std::uint32_t b = 0; b < 256; ++b)
      for (std::size_t bit = 0; bit < 8; ++bit)
        if ((b >> bit & 1) != 0) shift[k][b] ^= of_bit[8 * k + bit];
  return shift;
}

std::uint32_t moved(const Shift& shift, std::uint32_t crc) noexcept {
  return shift[0][crc & 0xFF] ^ shift[1][crc >> 8 & 0xFF] ^ shift[2][crc >> 16 & 0xFF] ^
         shift[3][crc >> 24];
}

std::uint64_t word_at(const std::byte* at) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const std::byte* at,
                                                               std::size_t bytes,
                                                               std::uint32_t before) noexcept {
  static const Shift shift = make_shift();
  std::uint64_t a = before;
  for (; bytes >= 3 * kStrand; at += 3 * kStrand, bytes -= 3 * kStrand) {
    std::uint64_t b = 0, c = 0;
    for (std::size_t i = 0; i < kStrand; i += 8) {
      a = _mm_crc32_u64(a, word_at(at + i));
      b = _mm_crc32_u64(b, word_at(at + kStrand + i));
      c = _mm_crc32_u64(c, word_at(at + 2 * kStrand + i));
    }
    a = moved(shift, static_cast<std::uint32_t>(a)) ^ b;
    a = moved(shift, static_cast<std::uint32_t>(a)) ^ c;
  }
  for (; bytes >= 8; at += 8, bytes -= 8) a = _mm_crc32_u64(a, word_at(at));
  auto crc = static_cast<std::uint32_t>(a);
  for (; bytes > 0; ++at, --bytes) crc = _mm_crc32_u8(crc, std::to_integer<unsigned char>(*at));
  return crc;
}

bool has_instruction() noexcept {
  static const bool has = __builtin_cpu_supports("sse4.2");
  return has;
}

#endif

}  // namespace

std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return ~by_tables(bytes.data(), bytes.size(), ~before);
}

#if defined(__x86_64__)
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  if (!has_instruction()) return crc32c_by_tables(bytes, before);
  return ~by_instruction(bytes.data(), bytes.size(), ~before);
}
const char* crc32c_method() noexcept { return has_instruction() ? "sse4.2" : "tables"; }
#else
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return crc32c_by_tables(bytes, before);
}
const char* crc32c_method() noexcept { return "tables"; }
#endif

}  // namespace kvferry::path::tcp
