#include "wire/frame.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::wire {
namespace {

// Little-endian whatever the host is.
std::uint32_t load(std::span<const std::byte> bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i)
    value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

void store(std::span<std::byte> bytes, std::size_t at, std::size_t count, std::uint32_t value) {
  for (std::size_t i = 0; i < count; ++i)
    bytes[at + i] = static_cast<std::byte>((value >> (8 * i)) & 0xFFu);
}

}  // namespace

FrameHeader parse_header(std::span<const std::byte, kHeaderBytes> bytes,
                         std::uint32_t max_payload_bytes, std::uint16_t version) {
  if (const auto magic = load(bytes, 0, 4); magic != kMagic)
    throw Error(ErrorCode::failed,
                fmt::format("not a kvferry frame: it begins with 0x{:08x} instead of 0x{:08x} "
                            "('KVFY'); is something else using this port or socket?",
                            magic, kMagic));
  FrameHeader header;
  header.version = static_cast<std::uint16_t>(load(bytes, 4, 2));
  header.fds = static_cast<std::uint16_t>(load(bytes, 6, 2));
  header.payload_bytes = load(bytes, 8, 4);
  if (header.version != version)
    throw Error(ErrorCode::refused,
                fmt::format("frame of protocol version {}, expected {}", header.version, version));
  if (const auto reserved = load(bytes, 12, 4); reserved != 0)
    throw Error(ErrorCode::failed,
                fmt::format("frame header: reserved is 0x{:08x}, must be 0", reserved));
  if (header.fds > kMaxFdsPerFrame)
    throw Error(ErrorCode::refused, fmt::format("frame header: {} file descriptors, at most {}",
                                                header.fds, kMaxFdsPerFrame));
  if (header.payload_bytes == 0)
    throw Error(ErrorCode::failed, "frame header: a payload of 0 bytes; every frame has a message");
  if (header.payload_bytes > max_payload_bytes)
    throw Error(ErrorCode::refused,
                fmt::format("frame header: a payload of {} bytes, at most {} here",
                            header.payload_bytes, max_payload_bytes));
  return header;
}

std::array<std::byte, kHeaderBytes> format_header(const FrameHeader& header) noexcept {
  std::array<std::byte, kHeaderBytes> bytes{};
  store(bytes, 0, 4, kMagic);
  store(bytes, 4, 2, header.version);
  store(bytes, 6, 2, header.fds);
  store(bytes, 8, 4, header.payload_bytes);
  return bytes;
}

std::size_t FrameReader::feed(std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  if (!complete_ && header_bytes_ < kHeaderBytes) taken = feed_header(bytes);
  if (!complete_ && header_bytes_ == kHeaderBytes) taken += feed_payload(bytes.subspan(taken));
  return taken;
}

std::size_t FrameReader::feed_header(std::span<const std::byte> bytes) {
  const std::size_t count = std::min(bytes.size(), kHeaderBytes - header_bytes_);
  std::copy_n(bytes.begin(), count, head_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
  header_bytes_ += count;
  if (header_bytes_ == kHeaderBytes) header_ = parse_header(head_, max_payload_bytes_, version_);
  return count;
}

std::size_t FrameReader::feed_payload(std::span<const std::byte> bytes) {
  const std::size_t count = std::min(bytes.size(), header_.payload_bytes - payload_.size());
  const std::size_t needed = payload_.size() + count;
  // Doubling, but never past the frame: a peer that announces a lot and sends little costs little.
  if (needed > payload_.capacity())
    payload_.reserve(
        std::min<std::size_t>(header_.payload_bytes, std::max(needed * 2, std::size_t{4096})));
  payload_.insert(payload_.end(), bytes.begin(),
                  bytes.begin() + static_cast<std::ptrdiff_t>(count));
  complete_ = payload_.size() == header_.payload_bytes;
  return count;
}

std::optional<Frame> FrameReader::take() {
  if (!complete_) return std::nullopt;
  complete_ = false;
  header_bytes_ = 0;
  return Frame{header_, std::exchange(payload_, {})};
}

void FrameReader::set_limits(std::uint32_t max_payload_bytes, std::uint16_t version) noexcept {
  max_payload_bytes_ = max_payload_bytes;
  version_ = version;
}

}  // namespace kvferry::wire
