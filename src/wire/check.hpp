#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kvferry/error.hpp"
#include "kvferry/shape.hpp"
#include "wire/text.hpp"

namespace kvferry::wire {

// Checks the fields of one message; every failure names message, field and value. Cheap to copy.
class Check {
 public:
  // `code`: refused for a message that came in, invalid_argument for one about to go out.
  Check(ErrorCode code, std::string_view message) noexcept : code_(code), message_(message) {}

  ErrorCode error_code() const noexcept { return code_; }
  [[noreturn]] void fail(std::string_view field, std::string_view why) const;
  void require(bool good, std::string_view field, std::string_view why) const;
  // low <= value <= high
  void range(std::string_view field, std::uint64_t value, std::uint64_t low,
             std::uint64_t high) const;
  void name(std::string_view field, std::string_view value) const;
  void text(std::string_view field, std::string_view value, std::size_t max_bytes = kMaxTextBytes,
            LineBreaks line_breaks = LineBreaks::refused) const;
  void not_zero(std::string_view field, std::span<const std::byte> bytes) const;
  void code(std::string_view field, ErrorCode value) const;
  // The shape's own rules, and that `blocks` of it stay within kMaxPoolBytes: nobody's sums
  // overflow then.
  void shape(const CacheShape& shape, std::uint32_t blocks) const;

 private:
  ErrorCode code_;
  std::string_view message_;
};

// base + (count - 1) * stride + bytes <= limit, in unbounded arithmetic. Requires: count >= 1.
bool fits(std::uint64_t base, std::uint64_t count, std::uint64_t stride, std::uint64_t bytes,
          std::uint64_t limit) noexcept;

}  // namespace kvferry::wire
