#include "path/tcp/chunk.hpp"

#include <fmt/format.h>

#include "kvferry/error.hpp"
#include "path/tcp/crc32c.hpp"

namespace kvferry::path::tcp {
namespace {

constexpr std::uint32_t kAnswers = 1, kChecked = 2;
constexpr std::size_t kCheckAt = 28;  // crc32c of the bytes before it

template <typename T>
void put(std::span<std::byte> to, std::size_t at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i) to[at + i] = static_cast<std::byte>(value >> (8 * i));
}
template <typename T>
T get(std::span<const std::byte> from, std::size_t at) noexcept {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(std::to_integer<T>(from[at + i]) << (8 * i));
  return value;
}

}  // namespace

std::array<std::byte, kChunkHeaderBytes> format_chunk(const ChunkHeader& header) noexcept {
  std::array<std::byte, kChunkHeaderBytes> bytes{};
  put(bytes, 0, kChunkMagic);
  put(bytes, 4, (header.answers ? kAnswers : 0u) | (header.checked ? kChecked : 0u));
  put(bytes, 8, header.request);
  put(bytes, 12, header.bytes);
  put(bytes, 16, header.offset);
  put(bytes, 24, header.crc32c);
  put(bytes, kCheckAt, crc32c(std::span(bytes).first(kCheckAt)));
  return bytes;
}

ChunkHeader parse_chunk(std::span<const std::byte, kChunkHeaderBytes> bytes) {
  if (get<std::uint32_t>(bytes, 0) != kChunkMagic)
    throw Error(ErrorCode::failed, "bytes on a data stream that are no chunk of kvferry's");
  // A bit that changed here would send every later byte to a wrong place.
  if (get<std::uint32_t>(bytes, kCheckAt) != crc32c(bytes.first<kCheckAt>()))
    throw Error(ErrorCode::failed, "a chunk header was damaged on its way (its check differs)");
  const auto flags = get<std::uint32_t>(bytes, 4);
  ChunkHeader header;
  header.answers = (flags & kAnswers) != 0;
  header.checked = (flags & kChecked) != 0;
  header.request = get<std::uint32_t>(bytes, 8);
  header.bytes = get<std::uint32_t>(bytes, 12);
  header.offset = get<std::uint64_t>(bytes, 16);
  header.crc32c = get<std::uint32_t>(bytes, 24);
  if ((flags & ~(kAnswers | kChecked)) != 0 || (!header.checked && header.crc32c != 0))
    throw Error(ErrorCode::failed, fmt::format("a chunk header with flags {:#x}", flags));
  if (header.bytes == 0 || header.bytes > kMaxChunkBytes)
    throw Error(ErrorCode::failed, fmt::format("a chunk of {} bytes, it may have 1 to {}",
                                               header.bytes, kMaxChunkBytes));
  return header;
}

}  // namespace kvferry::path::tcp
