#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "kvferry/error.hpp"
#include "wire/messages.hpp"

// Bytes of a hostile peer: Error, or a message that is valid in every respect. The first byte
// selects what reads the rest: 0 the header, 1 the decoder, 2 the frame reader (its second byte is
// how many bytes arrive at a time).
namespace {

using namespace kvferry;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

std::uint16_t fds_of(const wire::Message& message) {
  if (const auto* grant = std::get_if<wire::PoolGrant>(&message))
    return static_cast<std::uint16_t>(
        std::min<std::uint32_t>(grant->fds_total, wire::kMaxFdsPerFrame));
  return std::holds_alternative<wire::MoreFds>(message) ? 1 : 0;
}

// An accepted message must be one that we could have sent, and come back the same. Only its size
// may stop it: a peer's table may share what ours repeats.
void fuzz_message(std::span<const std::byte> payload) {
  wire::Message message;
  try {
    message = wire::decode(payload);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed && error.code() != ErrorCode::refused)
      broken("decode() throws failed or refused alone");
    return;
  }
  std::vector<std::byte> frame;
  try {
    frame = wire::encode(message, fds_of(message));
  } catch (const Error& error) {
    if (std::string_view(error.what()).find(" bytes, at most ") == std::string_view::npos)
      broken(error.what());
    return;
  }
  const auto header = wire::parse_header(
      std::span<const std::byte>(frame).first<wire::kHeaderBytes>(), wire::kMaxPayloadBytes);
  if (header.payload_bytes != frame.size() - wire::kHeaderBytes) broken("the header's length");
  if (wire::decode(std::span(frame).subspan(wire::kHeaderBytes)) != message)
    broken("a message changed between encode() and decode()");
}

void fuzz_header(std::span<const std::byte> bytes) {
  if (bytes.size() < wire::kHeaderBytes) return;
  try {
    const auto head = bytes.first<wire::kHeaderBytes>();
    const auto header = wire::parse_header(head, wire::kMaxPayloadBytes);
    if (!std::ranges::equal(wire::format_header(header), head)) broken("a header changed");
    if (header.payload_bytes > wire::kMaxPayloadBytes) broken("a payload beyond the cap");
  } catch (const Error&) {
  }
}

void fuzz_reader(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::size_t step = 1 + std::to_integer<std::size_t>(bytes[0]);
  bytes = bytes.subspan(1);
  wire::FrameReader reader(wire::kMaxPayloadBytes);
  try {
    while (!bytes.empty()) {
      bytes = bytes.subspan(reader.feed(bytes.first(std::min(step, bytes.size()))));
      const auto frame = reader.take();
      if (!frame) continue;
      if (frame->payload.size() != frame->header.payload_bytes) broken("a frame of another length");
      fuzz_message(frame->payload);
    }
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const auto rest = std::as_bytes(std::span(data, bytes)).subspan(1);
  switch (data[0] % 3) {
    case 0: fuzz_header(rest); break;
    case 1: fuzz_message(rest); break;
    default: fuzz_reader(rest); break;
  }
  return 0;
}
