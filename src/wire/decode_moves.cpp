#include "wire/read_fields.hpp"

namespace kvferry::wire {
namespace {

std::vector<IdRun> read_runs(const Vector<const fb::IdRun*>* from, const Check& check) {
  std::vector<IdRun> runs(bounded_size(from, "runs", kMaxRunsPerFrame, check));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& run = *from->Get(static_cast<std::uint32_t>(i));
    runs[i] = {run.first(), run.count()};
  }
  return runs;
}

std::vector<std::byte> read_blob(const Vector<std::uint8_t>* from, std::string_view field,
                                 std::size_t most, const Check& check) {
  const std::size_t size = bounded_size(from, field, most, check);
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), from->Data(), size);
  return bytes;
}

}  // namespace

Message read(const fb::MoveRequest& from, const Check& check) {
  MoveRequest m;
  m.request = from.request();
  m.pool = from.pool();
  m.generation = from.generation();
  m.direction = static_cast<Direction>(from.direction());
  m.first_layer = from.first_layer();
  m.layers = from.layers();
  m.bytes = from.bytes();
  m.chunk_bytes = from.chunk_bytes();
  m.checked = from.checked();
  m.max_streams = from.max_streams();
  m.bytes_per_s = from.bytes_per_s();
  m.time_left_us = from.time_left_us();
  m.runs_total = from.runs_total();
  m.runs = read_runs(from.runs(), check);
  return m;
}
Message read(const fb::MoveRuns& from, const Check& check) {
  return MoveRuns{from.request(), read_runs(from.runs(), check)};
}
Message read(const fb::MoveReady& from, const Check&) { return MoveReady{from.request()}; }
Message read(const fb::MoveCancel& from, const Check&) { return MoveCancel{from.request()}; }
Message read(const fb::MoveEnd& from, const Check& check) {
  MoveEnd m;
  m.request = from.request();
  if (from.code() != fb::Code::none) m.failure = static_cast<ErrorCode>(from.code());
  m.message = read_text(from.message(), "message", check);
  m.bytes = from.bytes();
  return m;
}
Message read(const fb::PoolOpened& from, const Check&) { return PoolOpened{from.request()}; }
Message read(const fb::WantStreams& from, const Check& check) {
  return WantStreams{from.count(), from.epoch(),
                     read_text(from.congestion(), "congestion", check, kMaxNameBytes)};
}

Message read(const fb::AskUcx& from, const Check&) { return AskUcx{from.request()}; }
Message read(const fb::UcxAddress& from, const Check& check) {
  return UcxAddress{from.request(),
                    read_blob(from.address(), "address", kMaxUcxAddressBytes, check)};
}
Message read(const fb::OpenUcx& from, const Check&) {
  return OpenUcx{from.request(), from.pool(), from.generation(), from.wants_write()};
}
Message read(const fb::UcxGrant& from, const Check& check) {
  UcxGrant m;
  m.request = from.request();
  m.pool = from.pool();
  m.generation = from.generation();
  m.parts = from.parts();
  m.block_stride = from.block_stride();
  require_aligned(from.planes(), "planes", check);
  const auto planes = bounded_size(from.planes(), "planes", kMaxPlanes, check);
  for (std::size_t i = 0; i < planes; ++i) {
    const std::uint64_t word = from.planes()->Get(static_cast<std::uint32_t>(i));
    m.planes.push_back({static_cast<std::uint32_t>(word >> 48), word & ((1ull << 48) - 1)});
  }
  const auto regions = bounded_size(from.regions(), "regions", kMaxRegions, check);
  for (std::size_t i = 0; i < regions; ++i) {
    const auto& region = *from.regions()->Get(static_cast<std::uint32_t>(i));
    m.regions.push_back({region.base(), region.bytes(),
                         read_blob(region.key(), "regions.key", kMaxUcxKeyBytes, check)});
  }
  return m;
}

}  // namespace kvferry::wire
