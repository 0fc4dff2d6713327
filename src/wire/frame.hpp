#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kvferry::wire {

// A frame is a header of 16 bytes and a FlatBuffers payload; docs/wire.md has the table.
inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::uint32_t kMagic = 0x5946564Bu;  // the bytes "KVFY"
// The versions this build speaks. The first message of each side is always of version 1, so that
// two builds that share no version can still tell each other.
inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::uint16_t kOldestProtocolVersion = 1;
inline constexpr std::uint32_t kMaxPayloadBytes = 1u << 20;
// Until both sides have accepted each other's Hello.
inline constexpr std::uint32_t kMaxHandshakePayloadBytes = 64u << 10;
// Linux passes at most 253 file descriptors in one SCM_RIGHTS message.
inline constexpr std::uint16_t kMaxFdsPerFrame = 253;

struct FrameHeader {
  std::uint16_t version = kProtocolVersion;
  std::uint16_t fds = 0;  // file descriptors that travel with the frame's first byte
  std::uint32_t payload_bytes = 0;
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// Throws: Error{failed} for bytes that are no kvferry frame; Error{refused} for another protocol
// version, a payload beyond `max_payload_bytes`, or too many file descriptors.
FrameHeader parse_header(std::span<const std::byte, kHeaderBytes> bytes,
                         std::uint32_t max_payload_bytes, std::uint16_t version = kProtocolVersion);
std::array<std::byte, kHeaderBytes> format_header(const FrameHeader& header) noexcept;

struct Frame {
  FrameHeader header;
  std::vector<std::byte> payload;
};

// Cuts a stream of bytes into frames. Holds one frame at most, and memory in proportion to what has
// arrived, not to what a header promises. Not thread-safe.
class FrameReader {
 public:
  explicit FrameReader(std::uint32_t max_payload_bytes = kMaxHandshakePayloadBytes,
                       std::uint16_t version = kProtocolVersion) noexcept
      : max_payload_bytes_(max_payload_bytes), version_(version) {}

  // Takes bytes up to the end of the current frame and returns how many it took; none while a
  // complete frame waits. Throws: as parse_header; the stream is lost then.
  std::size_t feed(std::span<const std::byte> bytes);
  // The current frame once it is complete; the next feed() begins another.
  std::optional<Frame> take();
  // True in the middle of a frame: the end of the stream would be a truncation.
  bool is_partial() const noexcept { return header_bytes_ != 0 && !complete_; }
  // For the frames that follow the current one.
  void set_limits(std::uint32_t max_payload_bytes, std::uint16_t version) noexcept;

 private:
  std::size_t feed_header(std::span<const std::byte> bytes);
  std::size_t feed_payload(std::span<const std::byte> bytes);

  std::uint32_t max_payload_bytes_;
  std::uint16_t version_;
  std::array<std::byte, kHeaderBytes> head_{};
  std::size_t header_bytes_ = 0;
  FrameHeader header_;
  std::vector<std::byte> payload_;
  bool complete_ = false;
};

}  // namespace kvferry::wire
