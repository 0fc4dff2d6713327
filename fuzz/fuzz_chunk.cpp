#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "kvferry/error.hpp"
#include "path/tcp/chunk.hpp"
#include "path/tcp/crc32c.hpp"
#include "path/tcp/greeting.hpp"

// What a hostile peer may put on a data stream: its greeting and its chunk headers. The first byte
// selects which (its lowest bit), and whether the check at the end is made right first, so that
// what lies behind it is reached.
namespace {

using namespace kvferry;
using namespace kvferry::path::tcp;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

template <typename Parse, typename Format>
void fuzz(std::span<const std::byte, 32> bytes, Parse parse, Format format) {
  try {
    const auto value = parse(bytes);
    if (!std::ranges::equal(format(value), bytes)) broken("it came back as other bytes");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed) broken("another error than failed");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 33) return 0;
  std::array<std::byte, 32> bytes;
  std::copy_n(reinterpret_cast<const std::byte*>(data + 1), 32, bytes.begin());
  if ((data[0] & 2) != 0) {
    const std::uint32_t check = crc32c(std::span(bytes).first(28));
    for (std::size_t i = 0; i < 4; ++i) bytes[28 + i] = static_cast<std::byte>(check >> (8 * i));
  }
  if ((data[0] & 1) != 0) {
    fuzz(bytes, parse_greeting, format_greeting);
  } else {
    fuzz(bytes, parse_chunk, format_chunk);
  }
  return 0;
}
