#include "wire/read_fields.hpp"
#include "wire/validate.hpp"

// Verified bytes become values, which validate() then judges.
namespace kvferry::wire {
namespace {

// Message -> PoolGrant -> Region is the deepest nesting this build knows, and 4096 regions are the
// most tables; a later release may add some.
constexpr std::uint32_t kMaxDepth = 8;
constexpr std::uint32_t kMaxTables = 2 * kMaxRegions;

CacheShape read(const fb::Shape* from, const Check& check) {
  if (from == nullptr) check.fail("shape", "it is missing");
  CacheShape shape;
  shape.layers = from->layers();
  shape.kv = from->kv();
  shape.kv_heads = from->kv_heads();
  shape.head_dim = from->head_dim();
  shape.block_tokens = from->block_tokens();
  shape.dtype = static_cast<DType>(from->dtype());
  return shape;
}

Message read(const fb::Signpost& from, const Check& check) {
  Signpost m;
  m.protocol = from.protocol();
  m.software = read_text(from.software(), "software", check);
  m.socket_path = read_text(from.socket_path(), "socket_path", check);
  read_bytes(from.boot_id(), m.boot_id);
  m.security = static_cast<Security>(from.security());
  m.network = from.network();
  return m;
}

PoolInfo read(const fb::PoolInfo& from, const Check& check) {
  PoolInfo pool;
  pool.number = from.number();
  pool.name = read_text(from.name(), "pools.name", check, kMaxNameBytes);
  pool.tag = read_text(from.tag(), "pools.tag", check, kMaxTagBytes);
  pool.shape = read(from.shape(), check);
  pool.blocks = from.blocks();
  pool.writable = from.writable();
  pool.generation = from.generation();
  pool.device = static_cast<Device::Kind>(from.device());
  read_bytes(from.gpu(), pool.gpu);
  pool.shareable = from.shareable();
  return pool;
}

Message read(const fb::Hello& from, const Check& check) {
  Hello m;
  m.protocol_min = from.protocol_min();
  m.protocol_max = from.protocol_max();
  m.software = read_text(from.software(), "software", check);
  m.node = read_text(from.node(), "node", check);
  m.pid = from.pid();
  read_bytes(from.nonce(), m.nonce);
  read_bytes(from.boot_id(), m.boot_id);
  for (std::size_t i = 0; i < bounded_size(from.paths(), "paths", kMaxPaths, check); ++i)
    m.paths.push_back(
        read_text(from.paths()->Get(static_cast<std::uint32_t>(i)), "paths", check, kMaxNameBytes));
  m.gpus.resize(bounded_size(from.gpus(), "gpus", kMaxGpus, check));
  for (std::size_t i = 0; i < m.gpus.size(); ++i)
    read_bytes(from.gpus()->Get(static_cast<std::uint32_t>(i)), m.gpus[i]);
  for (std::size_t i = 0; i < bounded_size(from.pools(), "pools", kMaxPools, check); ++i)
    m.pools.push_back(read(*from.pools()->Get(static_cast<std::uint32_t>(i)), check));
  return m;
}

Message read(const fb::Refusal& from, const Check& check) {
  Refusal m;
  m.code = static_cast<ErrorCode>(from.code());
  m.message = read_text(from.message(), "message", check);
  const auto count = bounded_size(from.fields(), "fields", kMaxFieldDiffs, check);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& diff = *from.fields()->Get(static_cast<std::uint32_t>(i));
    m.fields.push_back({read_text(diff.field(), "fields.field", check, kMaxTagBytes),
                        read_text(diff.ours(), "fields.ours", check, kMaxTagBytes),
                        read_text(diff.theirs(), "fields.theirs", check, kMaxTagBytes)});
  }
  return m;
}

Message read(const fb::OpenPool& from, const Check&) {
  return OpenPool{from.request(), from.pool(), from.wants_write()};
}

// `room`: how many more chunks the whole grant may have. Runs multiply: a few bytes can promise
// billions of chunks.
memory::RegionOffer read(const fb::Region& from, std::uint64_t& room, const Check& check) {
  memory::RegionOffer region;
  read_bytes(from.id(), region.id);
  region.bytes = from.bytes();
  read_bytes(from.gpu(), region.gpu);
  require_aligned(from.chunks(), "regions.chunks", check);
  require_aligned(from.addresses(), "regions.addresses", check);
  const auto runs = bounded_size(from.chunks(), "regions.chunks", kMaxChunks, check);
  for (std::size_t i = 0; i < runs; ++i) {
    const auto& run = *from.chunks()->Get(static_cast<std::uint32_t>(i));
    check.range("chunks", run.count(), 1, room);
    room -= run.count();
    memory::Chunk chunk;
    chunk.kind = static_cast<memory::ChunkKind>(from.kind());
    chunk.bytes = run.bytes();
    chunk.offset = run.offset();
    region.chunks.insert(region.chunks.end(), run.count(), chunk);
  }
  return region;
}

// What the kind of a region's chunks needs beyond bytes and offset: one of each for each chunk.
void read_details(const fb::Region& from, memory::RegionOffer& region, const Check& check) {
  const auto addresses = from.kind() == fb::ChunkKind::host_private ? region.chunks.size() : 0;
  const auto handles = from.kind() == fb::ChunkKind::cuda_ipc ? region.chunks.size() : 0;
  check.range("regions.addresses", from.addresses() ? from.addresses()->size() : 0, addresses,
              addresses);
  check.range("regions.handles", from.handles() ? from.handles()->size() : 0, handles, handles);
  for (std::size_t i = 0; i < addresses; ++i)
    region.chunks[i].address = from.addresses()->Get(static_cast<std::uint32_t>(i));
  for (std::size_t i = 0; i < handles; ++i)
    read_bytes(from.handles()->Get(static_cast<std::uint32_t>(i)), region.chunks[i].ipc);
}

std::vector<memory::PlaneRef> read_planes(const fb::PoolGrant& from, const Check& check) {
  std::vector<memory::PlaneRef> planes;
  const auto* const even = from.even_planes();
  const auto* const packed = from.packed_planes();
  if ((even == nullptr) == (packed == nullptr))
    check.fail("planes", "exactly one of even_planes and packed_planes must be there");
  if (even != nullptr) {
    check.range("planes", even->count(), 1, kMaxPlanes);
    // Also keeps the sums below from wrapping into something that looks valid.
    if (!fits(even->first_offset(), even->count(), even->stride(), 0, kMaxRegionBytes))
      check.fail("planes", fmt::format("{} planes from offset {} every {} bytes reach beyond 2^47",
                                       even->count(), even->first_offset(), even->stride()));
    planes.reserve(even->count());
    for (std::uint64_t i = 0; i < even->count(); ++i)
      planes.push_back({even->region(), even->first_offset() + i * even->stride()});
    return planes;
  }
  require_aligned(packed, "packed_planes", check);
  const auto count = bounded_size(packed, "planes", kMaxPlanes, check);
  planes.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t word = packed->Get(static_cast<std::uint32_t>(i));
    planes.push_back({static_cast<std::uint32_t>(word >> 48), word & ((1ull << 48) - 1)});
  }
  return planes;
}

Message read(const fb::PoolGrant& from, const Check& check) {
  PoolGrant m;
  m.request = from.request();
  m.shape = read(from.shape(), check);
  m.blocks = from.blocks();
  m.offer.pool = from.pool();
  m.offer.generation = from.generation();
  m.offer.parts = from.parts();
  m.offer.block_stride = from.block_stride();
  m.offer.planes = read_planes(from, check);
  std::uint64_t room = kMaxChunks;
  const auto count = bounded_size(from.regions(), "regions", kMaxRegions, check);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& region = *from.regions()->Get(static_cast<std::uint32_t>(i));
    m.offer.regions.push_back(read(region, room, check));
    read_details(region, m.offer.regions.back(), check);
  }
  m.fds_total = from.fds_total();
  return m;
}

Message read(const fb::MoreFds& from, const Check&) { return MoreFds{from.request()}; }

Message read(const fb::Denied& from, const Check& check) {
  return Denied{from.request(), static_cast<ErrorCode>(from.code()),
                read_text(from.message(), "message", check)};
}

Message read(const fb::Served& from, const Check& check) {
  Served m;
  m.pool = from.pool();
  m.generation = from.generation();
  m.direction = static_cast<Direction>(from.direction());
  m.blocks = from.blocks();
  m.bytes = from.bytes();
  m.seconds = from.seconds();
  m.path = read_text(from.path(), "path", check, kMaxNameBytes);
  std::string notice = read_text(from.notice(), "notice", check);
  check.require(from.has_notice() || notice.empty(), "notice", "there is text but has_notice is 0");
  if (from.has_notice()) m.notice = std::move(notice);
  return m;
}

Message read(const fb::Revoke& from, const Check&) {
  return Revoke{from.pool(), from.generation()};
}
Message read(const fb::Unmapped& from, const Check&) {
  return Unmapped{from.pool(), from.generation()};
}
Message read(const fb::Goodbye& from, const Check& check) {
  return Goodbye{read_text(from.reason(), "reason", check)};
}

Message read(const fb::DataDoor& from, const Check& check) {
  DataDoor m;
  read_bytes(from.session(), m.session);
  read_bytes(from.secret(), m.secret);
  m.ip = read_text(from.ip(), "ip", check, kMaxNameBytes);
  m.port = from.port();
  m.encrypted = from.encrypted();
  return m;
}
Message read(const fb::Join& from, const Check&) {
  Join m;
  read_bytes(from.session(), m.session);
  m.stream = from.stream();
  read_bytes(from.proof(), m.proof);
  return m;
}
Message read(const fb::Ping& from, const Check&) { return Ping{from.answer()}; }

Message read_body(const fb::Message& root) {
  const Check check(ErrorCode::refused, fb::EnumNameBody(root.body_type()));
  switch (root.body() == nullptr ? fb::Body::NONE : root.body_type()) {
    case fb::Body::Signpost: return read(*root.body_as_Signpost(), check);
    case fb::Body::Hello: return read(*root.body_as_Hello(), check);
    case fb::Body::Refusal: return read(*root.body_as_Refusal(), check);
    case fb::Body::OpenPool: return read(*root.body_as_OpenPool(), check);
    case fb::Body::PoolGrant: return read(*root.body_as_PoolGrant(), check);
    case fb::Body::MoreFds: return read(*root.body_as_MoreFds(), check);
    case fb::Body::Denied: return read(*root.body_as_Denied(), check);
    case fb::Body::Served: return read(*root.body_as_Served(), check);
    case fb::Body::Revoke: return read(*root.body_as_Revoke(), check);
    case fb::Body::Unmapped: return read(*root.body_as_Unmapped(), check);
    case fb::Body::Goodbye: return read(*root.body_as_Goodbye(), check);
    case fb::Body::DataDoor: return read(*root.body_as_DataDoor(), check);
    case fb::Body::Join: return read(*root.body_as_Join(), check);
    case fb::Body::Ping: return read(*root.body_as_Ping(), check);
    case fb::Body::MoveRequest: return read(*root.body_as_MoveRequest(), check);
    case fb::Body::MoveRuns: return read(*root.body_as_MoveRuns(), check);
    case fb::Body::MoveReady: return read(*root.body_as_MoveReady(), check);
    case fb::Body::MoveCancel: return read(*root.body_as_MoveCancel(), check);
    case fb::Body::MoveEnd: return read(*root.body_as_MoveEnd(), check);
    case fb::Body::WantStreams: return read(*root.body_as_WantStreams(), check);
    case fb::Body::PoolOpened: return read(*root.body_as_PoolOpened(), check);
    case fb::Body::AskUcx: return read(*root.body_as_AskUcx(), check);
    case fb::Body::UcxAddress: return read(*root.body_as_UcxAddress(), check);
    case fb::Body::OpenUcx: return read(*root.body_as_OpenUcx(), check);
    case fb::Body::UcxGrant: return read(*root.body_as_UcxGrant(), check);
    case fb::Body::NONE: break;
  }
  throw Error(
      ErrorCode::refused,
      fmt::format("a message of type {}, which this release does not know (it knows 1 to {})",
                  static_cast<unsigned>(root.body_type()), static_cast<unsigned>(fb::Body::MAX)));
}

Message decode_aligned(const std::uint8_t* data, std::size_t bytes) {
  flatbuffers::Verifier verifier(data, bytes, kMaxDepth, kMaxTables);
  if (!fb::VerifyMessageBuffer(verifier))
    throw Error(ErrorCode::failed,
                fmt::format("{} bytes that are no control message: its structure is damaged, or "
                            "nested or tabled beyond bounds",
                            bytes));
  Message message = read_body(*fb::GetMessage(data));
  validate(message, ErrorCode::refused);
  return message;
}

}  // namespace

Message decode(std::span<const std::byte> payload) {
  if (payload.size() > kMaxPayloadBytes)
    throw Error(ErrorCode::refused,
                fmt::format("a message of {} bytes, at most {}", payload.size(), kMaxPayloadBytes));
  // FlatBuffers reads its fields in place and needs them aligned; a reader's buffer need not be.
  if (reinterpret_cast<std::uintptr_t>(payload.data()) % alignof(std::uint64_t) == 0)
    return decode_aligned(reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size());
  std::vector<std::uint64_t> copy(payload.size() / sizeof(std::uint64_t) + 1);
  std::memcpy(copy.data(), payload.data(), payload.size());
  return decode_aligned(reinterpret_cast<const std::uint8_t*>(copy.data()), payload.size());
}

}  // namespace kvferry::wire
