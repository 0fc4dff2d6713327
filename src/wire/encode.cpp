#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "control_generated.h"
#include "wire/messages.hpp"
#include "wire/validate.hpp"

namespace kvferry::wire {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
template <typename T>
using Offset = flatbuffers::Offset<T>;

// What a person reads must never keep a message from being sent: control characters are escaped,
// long text is cut.
template <typename T>
const T& tidied(const T& m) {
  return m;
}
Signpost tidied(Signpost m) {
  m.software = printable(m.software);
  return m;
}
Hello tidied(Hello m) {
  m.software = printable(m.software);
  for (auto& pool : m.pools) pool.tag = printable(pool.tag, kMaxTagBytes);
  return m;
}
Refusal tidied(Refusal m) {
  m.message = printable(m.message);
  if (m.fields.size() > kMaxFieldDiffs) {
    const std::size_t left_out = m.fields.size() - (kMaxFieldDiffs - 1);
    m.fields.resize(kMaxFieldDiffs - 1);
    m.fields.push_back({"...", fmt::format("{} more", left_out), "..."});
  }
  for (auto& diff : m.fields)
    diff = {printable(diff.field, kMaxTagBytes), printable(diff.ours, kMaxTagBytes),
            printable(diff.theirs, kMaxTagBytes)};
  return m;
}
Denied tidied(Denied m) {
  m.message = printable(m.message);
  return m;
}
MoveEnd tidied(MoveEnd m) {
  m.message = printable(m.message);
  return m;
}
Goodbye tidied(Goodbye m) {
  m.reason = printable(m.reason);
  return m;
}

template <typename Struct, std::size_t N>
Struct to_struct(const std::array<std::byte, N>& bytes) {
  static_assert(sizeof(Struct) == N);
  Struct out;
  std::memcpy(&out, bytes.data(), N);
  return out;
}
fb::Id to_id(const Id& id) { return to_struct<fb::Id>(id); }

fb::Code to_code(ErrorCode code) { return static_cast<fb::Code>(code); }

Offset<fb::Shape> pack(Builder& b, const CacheShape& s) {
  return fb::CreateShape(b, s.layers, s.kv, s.kv_heads, s.head_dim, s.block_tokens,
                         static_cast<fb::DType>(s.dtype));
}

Offset<fb::PoolInfo> pack(Builder& b, const PoolInfo& p) {
  const auto name = b.CreateString(p.name);
  const auto tag = b.CreateString(p.tag);
  const auto shape = pack(b, p.shape);
  const fb::Id gpu = to_id(p.gpu);
  return fb::CreatePoolInfo(b, p.number, name, tag, shape, p.blocks, p.writable, p.generation,
                            static_cast<fb::DeviceKind>(p.device), &gpu, p.shareable);
}

Offset<fb::FieldDiff> pack(Builder& b, const FieldDiff& d) {
  const auto field = b.CreateString(d.field);
  const auto ours = b.CreateString(d.ours);
  return fb::CreateFieldDiff(b, field, ours, b.CreateString(d.theirs));
}

std::vector<fb::ChunkRun> runs_of(const std::vector<memory::Chunk>& chunks) {
  std::vector<fb::ChunkRun> runs;
  for (const auto& c : chunks) {
    if (!runs.empty() && runs.back().bytes() == c.bytes && runs.back().offset() == c.offset)
      runs.back() = fb::ChunkRun(c.bytes, c.offset, runs.back().count() + 1);
    else
      runs.emplace_back(c.bytes, c.offset, 1u);
  }
  return runs;
}

Offset<fb::Region> pack(Builder& b, const memory::RegionOffer& region) {
  const auto kind = region.chunks.front().kind;
  const auto runs = b.CreateVectorOfStructs(runs_of(region.chunks));
  Offset<flatbuffers::Vector<std::uint64_t>> addresses;
  Offset<flatbuffers::Vector<const fb::IpcHandle*>> handles;
  if (kind == memory::ChunkKind::host_private) {
    std::vector<std::uint64_t> values;
    for (const auto& c : region.chunks) values.push_back(c.address);
    addresses = b.CreateVector(values);
  } else if (kind == memory::ChunkKind::cuda_ipc) {
    std::vector<fb::IpcHandle> values;
    for (const auto& c : region.chunks) values.push_back(to_struct<fb::IpcHandle>(c.ipc));
    handles = b.CreateVectorOfStructs(values);
  }
  const fb::Id id = to_id(region.id), gpu = to_id(region.gpu);
  return fb::CreateRegion(b, &id, region.bytes, &gpu, static_cast<fb::ChunkKind>(kind), runs,
                          addresses, handles);
}

template <typename Table, typename T>
auto pack_all(Builder& b, const std::vector<T>& values) {
  std::vector<Offset<Table>> offsets;
  offsets.reserve(values.size());
  for (const auto& value : values) offsets.push_back(pack(b, value));
  return b.CreateVector(offsets);
}

// Nothing where the planes are not evenly spaced, upwards, in one region.
std::optional<fb::EvenPlanes> even(const std::vector<memory::PlaneRef>& planes) {
  const auto& first = planes.front();
  std::uint64_t stride = 0;
  if (planes.size() > 1) {
    if (planes[1].offset < first.offset) return std::nullopt;
    stride = planes[1].offset - first.offset;
  }
  for (std::size_t i = 0; i < planes.size(); ++i)
    if (planes[i].region != first.region || planes[i].offset != first.offset + i * stride)
      return std::nullopt;
  return fb::EvenPlanes(first.offset, stride, first.region,
                        static_cast<std::uint32_t>(planes.size()));
}

// One `pack_body` for each message: its table.
Offset<fb::Signpost> pack_body(Builder& b, const Signpost& m) {
  const auto software = b.CreateString(m.software);
  const auto path = b.CreateString(m.socket_path);
  const fb::Id boot_id = to_id(m.boot_id);
  return fb::CreateSignpost(b, m.protocol, software, path, &boot_id,
                            static_cast<fb::Security>(m.security), m.network);
}

Offset<fb::Hello> pack_body(Builder& b, const Hello& m) {
  const auto software = b.CreateString(m.software);
  const auto node = b.CreateString(m.node);
  const auto paths = b.CreateVectorOfStrings(m.paths);
  std::vector<fb::Id> ids;
  std::ranges::transform(m.gpus, std::back_inserter(ids), to_id);
  const auto gpus = b.CreateVectorOfStructs(ids);
  const auto pools = pack_all<fb::PoolInfo>(b, m.pools);
  const fb::Id nonce = to_id(m.nonce), boot_id = to_id(m.boot_id);
  return fb::CreateHello(b, m.protocol_min, m.protocol_max, software, node, m.pid, &nonce, &boot_id,
                         paths, gpus, pools);
}

Offset<fb::Refusal> pack_body(Builder& b, const Refusal& m) {
  const auto message = b.CreateString(m.message);
  return fb::CreateRefusal(b, to_code(m.code), message, pack_all<fb::FieldDiff>(b, m.fields));
}

Offset<fb::OpenPool> pack_body(Builder& b, const OpenPool& m) {
  return fb::CreateOpenPool(b, m.request, m.pool, m.wants_write);
}

Offset<fb::PoolGrant> pack_body(Builder& b, const PoolGrant& m) {
  const auto shape = pack(b, m.shape);
  const auto regions = pack_all<fb::Region>(b, m.offer.regions);
  const auto even_planes = even(m.offer.planes);
  Offset<flatbuffers::Vector<std::uint64_t>> packed;
  if (!even_planes) {
    std::vector<std::uint64_t> values;
    for (const auto& p : m.offer.planes)
      values.push_back(std::uint64_t{p.region} << 48 | p.offset);  // validated: offset <= 2^47
    packed = b.CreateVector(values);
  }
  return fb::CreatePoolGrant(b, m.request, m.offer.pool, m.offer.generation, shape, m.blocks,
                             static_cast<std::uint8_t>(m.offer.parts), m.offer.block_stride,
                             even_planes ? &*even_planes : nullptr, packed, regions, m.fds_total);
}

Offset<fb::MoreFds> pack_body(Builder& b, const MoreFds& m) {
  return fb::CreateMoreFds(b, m.request);
}

Offset<fb::Denied> pack_body(Builder& b, const Denied& m) {
  return fb::CreateDenied(b, m.request, to_code(m.code), b.CreateString(m.message));
}

Offset<fb::Served> pack_body(Builder& b, const Served& m) {
  const auto path = b.CreateString(m.path);
  const auto notice = b.CreateString(m.notice.value_or(""));
  return fb::CreateServed(b, m.pool, m.generation, static_cast<fb::Direction>(m.direction),
                          m.blocks, m.bytes, m.seconds, path, m.notice.has_value(), notice);
}

Offset<fb::Revoke> pack_body(Builder& b, const Revoke& m) {
  return fb::CreateRevoke(b, m.pool, m.generation);
}
Offset<fb::Unmapped> pack_body(Builder& b, const Unmapped& m) {
  return fb::CreateUnmapped(b, m.pool, m.generation);
}
Offset<fb::Goodbye> pack_body(Builder& b, const Goodbye& m) {
  return fb::CreateGoodbye(b, b.CreateString(m.reason));
}

Offset<fb::DataDoor> pack_body(Builder& b, const DataDoor& m) {
  const auto ip = b.CreateString(m.ip);
  const fb::Id session = to_id(m.session);
  const auto secret = to_struct<fb::Secret>(m.secret);
  return fb::CreateDataDoor(b, &session, &secret, ip, m.port, m.encrypted);
}

Offset<fb::Join> pack_body(Builder& b, const Join& m) {
  const fb::Id session = to_id(m.session);
  const auto proof = to_struct<fb::Secret>(m.proof);
  return fb::CreateJoin(b, &session, m.stream, &proof);
}

Offset<fb::Ping> pack_body(Builder& b, const Ping& m) { return fb::CreatePing(b, m.answer); }

std::vector<fb::IdRun> pack_runs(const std::vector<IdRun>& runs) {
  std::vector<fb::IdRun> out;
  out.reserve(runs.size());
  for (const IdRun& run : runs) out.emplace_back(run.first, run.count);
  return out;
}

Offset<fb::MoveRequest> pack_body(Builder& b, const MoveRequest& m) {
  const auto runs = b.CreateVectorOfStructs(pack_runs(m.runs));
  return fb::CreateMoveRequest(b, m.request, m.pool, m.generation,
                               static_cast<fb::Direction>(m.direction), m.first_layer, m.layers,
                               m.bytes, m.chunk_bytes, m.checked, m.max_streams, m.bytes_per_s,
                               m.time_left_us, m.runs_total, runs);
}
Offset<fb::MoveRuns> pack_body(Builder& b, const MoveRuns& m) {
  return fb::CreateMoveRuns(b, m.request, b.CreateVectorOfStructs(pack_runs(m.runs)));
}
Offset<fb::MoveReady> pack_body(Builder& b, const MoveReady& m) {
  return fb::CreateMoveReady(b, m.request);
}
Offset<fb::MoveCancel> pack_body(Builder& b, const MoveCancel& m) {
  return fb::CreateMoveCancel(b, m.request);
}
Offset<fb::MoveEnd> pack_body(Builder& b, const MoveEnd& m) {
  const auto code = m.failure ? to_code(*m.failure) : fb::Code::none;
  return fb::CreateMoveEnd(b, m.request, code, b.CreateString(m.message), m.bytes);
}
Offset<fb::PoolOpened> pack_body(Builder& b, const PoolOpened& m) {
  return fb::CreatePoolOpened(b, m.request);
}
Offset<fb::WantStreams> pack_body(Builder& b, const WantStreams& m) {
  return fb::CreateWantStreams(b, m.count, m.epoch, b.CreateString(m.congestion));
}

flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> pack_bytes(
    Builder& b, const std::vector<std::byte>& bytes) {
  return b.CreateVector(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

Offset<fb::AskUcx> pack_body(Builder& b, const AskUcx& m) { return fb::CreateAskUcx(b, m.request); }
Offset<fb::UcxAddress> pack_body(Builder& b, const UcxAddress& m) {
  return fb::CreateUcxAddress(b, m.request, pack_bytes(b, m.address));
}
Offset<fb::OpenUcx> pack_body(Builder& b, const OpenUcx& m) {
  return fb::CreateOpenUcx(b, m.request, m.pool, m.generation, m.wants_write);
}
Offset<fb::UcxGrant> pack_body(Builder& b, const UcxGrant& m) {
  std::vector<std::uint64_t> planes;
  for (const auto& p : m.planes) planes.push_back(std::uint64_t{p.region} << 48 | p.offset);
  std::vector<Offset<fb::UcxRegion>> regions;
  for (const auto& r : m.regions)
    regions.push_back(fb::CreateUcxRegion(b, r.base, r.bytes, pack_bytes(b, r.key)));
  return fb::CreateUcxGrant(b, m.request, m.pool, m.generation, static_cast<std::uint8_t>(m.parts),
                            m.block_stride, b.CreateVector(planes), b.CreateVector(regions));
}

template <typename Table>
void finish(Builder& b, Offset<Table> body) {
  b.Finish(fb::CreateMessage(b, fb::BodyTraits<Table>::enum_value, body.Union()));
}

// Messages that travel before the handshake is over must fit its smaller cap.
std::uint32_t cap_of(const Message& m) {
  const bool early = std::holds_alternative<Signpost>(m) || std::holds_alternative<Hello>(m) ||
                     std::holds_alternative<Refusal>(m) || std::holds_alternative<Join>(m);
  return early ? kMaxHandshakePayloadBytes : kMaxPayloadBytes;
}

}  // namespace

std::vector<std::byte> encode(const Message& message, std::uint16_t fds, std::uint16_t version) {
  const Message tidy = std::visit([](const auto& m) { return Message(tidied(m)); }, message);
  validate(tidy, ErrorCode::invalid_argument);
  check_fds(tidy, fds);
  Builder builder;
  std::visit([&](const auto& m) { finish(builder, pack_body(builder, m)); }, tidy);
  const std::uint32_t bytes = builder.GetSize();
  if (bytes > cap_of(tidy))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} needs {} bytes, at most {}; serve fewer pools, shorter tags, or "
                            "memory of fewer pieces",
                            name_of(tidy), bytes, cap_of(tidy)));
  std::vector<std::byte> frame(kHeaderBytes + bytes);
  const auto header = format_header({version, fds, bytes});
  std::ranges::copy(header, frame.begin());
  std::memcpy(frame.data() + kHeaderBytes, builder.GetBufferPointer(), bytes);
  return frame;
}

}  // namespace kvferry::wire
