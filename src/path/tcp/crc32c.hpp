#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvferry::path::tcp {

// CRC-32C (Castagnoli) as iSCSI defines it (RFC 3720, appendix B.4). `before`: of the bytes before
// these, 0 at the beginning. By the processor's instruction where it has one, three strands at a
// time; else by tables.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;
// "sse4.2", "tables"
const char* crc32c_method() noexcept;

// By tables, whatever the processor: for the test that holds the two together.
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace kvferry::path::tcp
