#include "wire/check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "wire/messages.hpp"

namespace kvferry::wire {

void Check::fail(std::string_view field, std::string_view why) const {
  throw Error(code_, fmt::format("{}.{}: {}", message_, field, why));
}

void Check::require(bool good, std::string_view field, std::string_view why) const {
  if (!good) fail(field, why);
}

void Check::range(std::string_view field, std::uint64_t value, std::uint64_t low,
                  std::uint64_t high) const {
  if (value < low || value > high)
    fail(field, fmt::format("{} is out of range; it must be {} to {}", value, low, high));
}

void Check::name(std::string_view field, std::string_view value) const {
  if (!is_name(value))
    fail(field, fmt::format("'{}' is not a name; use 1 to {} characters of A-Z a-z 0-9 . _ -",
                            printable(value, 80), kMaxNameBytes));
}

void Check::text(std::string_view field, std::string_view value, std::size_t max_bytes,
                 LineBreaks line_breaks) const {
  if (value.size() > max_bytes)
    fail(field, fmt::format("{} bytes of text, at most {}", value.size(), max_bytes));
  if (!is_clean_text(value, line_breaks))
    fail(field, fmt::format("'{}' holds control characters or is not UTF-8", printable(value, 80)));
}

void Check::not_zero(std::string_view field, std::span<const std::byte> bytes) const {
  if (std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }))
    fail(field, "must not be all zero");
}

void Check::code(std::string_view field, ErrorCode value) const {
  const int number = static_cast<int>(value);
  range(field, static_cast<std::uint64_t>(number < 0 ? 0 : number),
        static_cast<std::uint64_t>(ErrorCode::failed),
        static_cast<std::uint64_t>(ErrorCode::cancelled));
}

void Check::shape(const CacheShape& shape, std::uint32_t blocks) const {
  // Before validate(), which may look up the dtype's size.
  range("shape.dtype", static_cast<std::uint8_t>(shape.dtype), 0,
        static_cast<std::uint8_t>(DType::int8));
  try {
    shape.validate();
  } catch (const Error& error) {
    fail("shape", error.what());
  }
  range("blocks", blocks, 1, kMaxBlocks);
  // validate() bounds block_bytes by 2^30 and layers by 2^16: their product cannot overflow.
  const std::uint64_t one_block = shape.block_bytes() * shape.layers;
  if (one_block > kMaxPoolBytes / blocks)
    fail("blocks", fmt::format("{} blocks of {} bytes in all layers are more than {} bytes", blocks,
                               one_block, kMaxPoolBytes));
}

bool fits(std::uint64_t base, std::uint64_t count, std::uint64_t stride, std::uint64_t bytes,
          std::uint64_t limit) noexcept {
  std::uint64_t end = 0;
  return !__builtin_mul_overflow(count - 1, stride, &end) &&
         !__builtin_add_overflow(end, base, &end) && !__builtin_add_overflow(end, bytes, &end) &&
         end <= limit;
}

}  // namespace kvferry::wire
