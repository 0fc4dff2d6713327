#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/messages.hpp"

namespace kvferry::path::tcp {

// A data stream carries chunks and nothing else: a header of 32 bytes and `bytes` bytes of a
// transfer's stream, from `offset` on. docs/tcp.md has the table.
inline constexpr std::size_t kChunkHeaderBytes = 32;
inline constexpr std::uint32_t kChunkMagic = 0x4B43564Bu;  // the bytes "KVCK"
// A transfer is cut into chunks of one size, which its request names; only the last may be shorter.
using wire::kMaxChunkBytes;
using wire::kMinChunkBytes;

struct ChunkHeader {
  std::uint32_t request = 0;
  // Of the side whose request it is: set where the sender answers the receiver's pull, clear where
  // it is the sender's own push.
  bool answers = false;
  bool checked = false;  // crc32c is there
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t crc32c = 0;  // of the bytes
  friend bool operator==(const ChunkHeader&, const ChunkHeader&) = default;
};

std::array<std::byte, kChunkHeaderBytes> format_chunk(const ChunkHeader& header) noexcept;
// Throws: Error{failed} for bytes that are no chunk header (its own check does not match), or that
// break one of its bounds.
ChunkHeader parse_chunk(std::span<const std::byte, kChunkHeaderBytes> bytes);

// The chunks of a transfer of so many bytes.
constexpr std::uint64_t chunk_count(std::uint64_t bytes, std::uint32_t chunk_bytes) noexcept {
  return bytes / chunk_bytes + (bytes % chunk_bytes != 0 ? 1 : 0);
}

}  // namespace kvferry::path::tcp
