#include "wire/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace kvferry::wire {
namespace {

std::string hex(const Id& id) {
  std::string text;
  for (const std::byte b : id)
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(b));
  return text;
}

}  // namespace

std::string_view name_of(const Message& message) noexcept {
  // In the order of the variant.
  constexpr std::array<std::string_view, std::variant_size_v<Message>> kNames = {
      "Signpost",   "Hello",     "Refusal",    "OpenPool", "PoolGrant",
      "MoreFds",    "Denied",    "Served",     "Revoke",   "Unmapped",
      "Goodbye",    "DataDoor",  "Join",       "Ping",     "MoveRequest",
      "MoveRuns",   "MoveReady", "MoveCancel", "MoveEnd",  "WantStreams",
      "PoolOpened", "AskUcx",    "UcxAddress", "OpenUcx",  "UcxGrant"};
  return kNames[message.index()];
}

std::uint32_t fds_needed(const memory::PoolOffer& offer) noexcept {
  std::size_t fds = 0;
  for (const auto& region : offer.regions)
    for (const auto& chunk : region.chunks) fds += memory::has_fd(chunk.kind) ? 1 : 0;
  return static_cast<std::uint32_t>(fds);
}

void check_fds(const Message& message, std::uint16_t fds) {
  std::uint32_t low = 0, high = 0;
  if (const auto* grant = std::get_if<PoolGrant>(&message))
    low = high = std::min<std::uint32_t>(grant->fds_total, kMaxFdsPerFrame);
  if (std::holds_alternative<MoreFds>(message)) {
    low = 1;
    high = kMaxFdsPerFrame;
  }
  if (fds < low || fds > high)
    throw Error(ErrorCode::refused,
                fmt::format("{} with {} file descriptors; it must carry {}{}", name_of(message),
                            fds, low, low == high ? "" : fmt::format(" to {}", high)));
}

void check_grant(const PoolGrant& grant, const PoolInfo& announced) {
  const auto differs = [&](std::string_view field, std::string_view ours, std::string_view theirs) {
    throw Error(ErrorCode::refused,
                fmt::format("pool '{}': the grant's {} is {}, but its owner announced {}",
                            announced.name, field, theirs, ours));
  };
  const auto same = [&](std::string_view field, std::uint64_t was, std::uint64_t is) {
    if (was != is) differs(field, fmt::to_string(was), fmt::to_string(is));
  };
  same("pool number", announced.number, grant.offer.pool);
  same("generation", announced.generation, grant.offer.generation);
  same("blocks", announced.blocks, grant.blocks);
  if (announced.shape != grant.shape)
    differs("shape", announced.shape.to_string(), grant.shape.to_string());
  for (const auto& region : grant.offer.regions) {
    if (region.gpu != announced.gpu) differs("GPU", hex(announced.gpu), hex(region.gpu));
    const bool shareable = region.chunks.front().kind != memory::ChunkKind::host_private;
    const auto word = [](bool yes) { return yes ? "shareable" : "private"; };
    if (shareable != announced.shareable)
      differs("memory", word(announced.shareable), word(shareable));
  }
}

void check_grant(const UcxGrant& grant, const PoolInfo& announced) {
  const auto wrong = [&](std::string_view what, std::uint64_t value) {
    throw Error(ErrorCode::refused, fmt::format("pool '{}': the {} of its grant over ucx does not "
                                                "fit what its owner announced: {}",
                                                announced.name, what, value));
  };
  const CacheShape& shape = announced.shape;
  if (grant.pool != announced.number) wrong("number", grant.pool);
  if (grant.generation != announced.generation) wrong("generation", grant.generation);
  if (grant.parts != 1 && grant.parts != shape.kv) wrong("parts", grant.parts);
  const std::uint64_t row = shape.block_bytes() / grant.parts;
  if (grant.block_stride < row) wrong("block stride", grant.block_stride);
  if (grant.planes.size() != std::size_t{shape.layers} * grant.parts)
    wrong("number of planes", grant.planes.size());
  for (const auto& plane : grant.planes) {
    if (plane.region >= grant.regions.size()) wrong("region of a plane", plane.region);
    const std::uint64_t bytes = grant.regions[plane.region].bytes;
    if (plane.offset > bytes || row > bytes - plane.offset ||
        (bytes - plane.offset - row) / grant.block_stride < announced.blocks - 1u)
      wrong("offset of a plane", plane.offset);
  }
}

std::uint16_t agree_version(const Hello& ours, const Hello& theirs) {
  const auto low = std::max(ours.protocol_min, theirs.protocol_min);
  const auto high = std::min(ours.protocol_max, theirs.protocol_max);
  if (low > high)
    throw Error(ErrorCode::refused,
                fmt::format("no common protocol version: we ({}) speak {} to {}, the peer ({}) {} "
                            "to {}; run the same kvferry release on both sides",
                            printable(ours.software), ours.protocol_min, ours.protocol_max,
                            printable(theirs.software), theirs.protocol_min, theirs.protocol_max));
  return high;
}

}  // namespace kvferry::wire
