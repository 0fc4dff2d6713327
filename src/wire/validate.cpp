#include "wire/validate.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "wire/check.hpp"
#include "wire/validate_offer.hpp"

namespace kvferry::wire {
namespace {

void validate_each(const Signpost& m, const Check& check) {
  check.range("protocol", m.protocol, 1, UINT16_MAX);
  check.text("software", m.software);
  check.text("socket_path", m.socket_path, kMaxSocketPathBytes);
  check.require(m.socket_path.starts_with('/'), "socket_path", "it must be an absolute path");
  check.range("security", static_cast<std::uint8_t>(m.security), 0,
              static_cast<std::uint8_t>(Security::certificate));
}

void validate_pool(const PoolInfo& pool, std::string_view field, const Check& hello) {
  hello.name(fmt::format("{}.name", field), pool.name);
  const std::string path = fmt::format("Hello.pool '{}'", pool.name);
  const Check check(hello.error_code(), path);
  check.text("tag", pool.tag, kMaxTagBytes);
  check.shape(pool.shape, pool.blocks);
  check.range("generation", pool.generation, 1, UINT64_MAX);
  check.range("device", static_cast<std::uint8_t>(pool.device), 0,
              static_cast<std::uint8_t>(Device::Kind::cuda));
  const bool is_cuda = pool.device == Device::Kind::cuda;
  check.require((pool.gpu != memory::GpuUuid{}) == is_cuda, "gpu",
                "the UUID must be set for GPU memory and zero for host memory");
  check.require(pool.shareable || !is_cuda, "shareable",
                "GPU memory in a pool is always shareable");
}

void validate_pools(const std::vector<PoolInfo>& pools, const Check& check) {
  check.range("pools", pools.size(), 0, kMaxPools);
  std::set<std::string_view> names;
  std::set<std::uint32_t> numbers;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const std::string field = fmt::format("pools[{}]", i);
    validate_pool(pools[i], field, check);
    check.require(names.insert(pools[i].name).second, field, "another pool has the same name");
    check.require(numbers.insert(pools[i].number).second, field,
                  "another pool has the same number");
  }
}

void validate_each(const Hello& m, const Check& check) {
  check.range("protocol_min", m.protocol_min, 1, UINT16_MAX);
  check.range("protocol_max", m.protocol_max, m.protocol_min, UINT16_MAX);
  check.text("software", m.software);
  if (!m.node.empty()) check.name("node", m.node);
  check.range("pid", m.pid, 1, kMaxPid);
  check.not_zero("nonce", m.nonce);
  check.range("paths", m.paths.size(), 0, kMaxPaths);
  for (const auto& path : m.paths) check.name("paths", path);
  check.range("gpus", m.gpus.size(), 0, kMaxGpus);
  for (const auto& gpu : m.gpus) check.not_zero("gpus", gpu);
  validate_pools(m.pools, check);
}

void validate_each(const Refusal& m, const Check& check) {
  check.code("code", m.code);
  check.text("message", m.message);
  check.range("fields", m.fields.size(), 0, kMaxFieldDiffs);
  for (const auto& diff : m.fields) {
    check.text("fields.field", diff.field, kMaxTagBytes);
    check.text("fields.ours", diff.ours, kMaxTagBytes);
    check.text("fields.theirs", diff.theirs, kMaxTagBytes);
  }
}

// Any request, any pool number, either wish: there is nothing a value could break by itself.
void validate_each(const OpenPool&, const Check&) {}
void validate_each(const MoreFds&, const Check&) {}

void validate_each(const PoolGrant& m, const Check& check) { validate_offer(m, check); }

void validate_each(const Denied& m, const Check& check) {
  check.code("code", m.code);
  check.text("message", m.message);
}

void validate_each(const Served& m, const Check& check) {
  check.range("generation", m.generation, 1, UINT64_MAX);
  check.range("direction", static_cast<std::uint8_t>(m.direction), 0,
              static_cast<std::uint8_t>(Direction::push));
  check.range("blocks", m.blocks, 0, kMaxBlocks);
  check.range("bytes", m.bytes, 0, kMaxPoolBytes);
  check.require(std::isfinite(m.seconds) && m.seconds >= 0, "seconds",
                "it must be finite and not negative");
  check.name("path", m.path);
  if (m.notice) check.text("notice", *m.notice, kMaxTextBytes, LineBreaks::allowed);
}

void validate_each(const Revoke& m, const Check& check) {
  check.range("generation", m.generation, 1, UINT64_MAX);
}
void validate_each(const Unmapped& m, const Check& check) {
  check.range("generation", m.generation, 1, UINT64_MAX);
}
void validate_each(const Goodbye& m, const Check& check) { check.text("reason", m.reason); }

void validate_each(const DataDoor& m, const Check& check) {
  check.not_zero("session", m.session);
  check.not_zero("secret", m.secret);
  check.range("port", m.port, 1, UINT16_MAX);
  // Digits, dots and colons alone: it is given to the resolver.
  check.require(!m.ip.empty() && m.ip.size() <= kMaxNameBytes &&
                    m.ip.find_first_not_of("0123456789abcdefABCDEF.:") == std::string::npos,
                "ip", "it must be a numeric address");
}
void validate_each(const Join& m, const Check& check) {
  check.not_zero("session", m.session);
  check.not_zero("proof", m.proof);
}
void validate_each(const Ping&, const Check&) {}

// Each run has blocks, and ends below kMaxBlocks.
void validate_runs(const std::vector<IdRun>& runs, const Check& check) {
  check.range("runs", runs.size(), 1, kMaxRunsPerFrame);
  for (const IdRun& run : runs) {
    check.range("runs.count", run.count, 1, kMaxBlocks);
    check.range("runs.first", run.first, 0, kMaxBlocks - run.count);
  }
}

void validate_each(const MoveRequest& m, const Check& check) {
  check.range("request", m.request, 1, UINT32_MAX);
  check.range("generation", m.generation, 1, UINT64_MAX);
  check.range("direction", static_cast<std::uint8_t>(m.direction), 0,
              static_cast<std::uint8_t>(Direction::push));
  check.range("layers", m.layers, 1, kMaxPlanes);
  check.range("first_layer", m.first_layer, 0, kMaxPlanes);
  check.range("bytes", m.bytes, 1, kMaxPoolBytes);
  check.range("chunk_bytes", m.chunk_bytes, kMinChunkBytes, kMaxChunkBytes);
  check.range("max_streams", m.max_streams, 0, kMaxStreams);
  check.range("time_left_us", m.time_left_us, 0, kMaxTimeLeft);
  check.range("runs_total", m.runs_total, m.runs.size(), kMaxRuns);
  validate_runs(m.runs, check);
}
void validate_each(const MoveRuns& m, const Check& check) { validate_runs(m.runs, check); }
void validate_each(const MoveReady&, const Check&) {}
void validate_each(const PoolOpened&, const Check&) {}
void validate_each(const MoveCancel&, const Check&) {}
void validate_each(const MoveEnd& m, const Check& check) {
  if (m.failure) check.code("code", *m.failure);
  check.text("message", m.message);
  check.range("bytes", m.bytes, 0, kMaxPoolBytes);
}
void validate_each(const WantStreams& m, const Check& check) {
  check.range("count", m.count, 1, kMaxStreams);
  if (!m.congestion.empty()) check.name("congestion", m.congestion);
}

void validate_each(const AskUcx&, const Check&) {}
void validate_each(const UcxAddress& m, const Check& check) {
  check.range("address", m.address.size(), 1, kMaxUcxAddressBytes);
}
void validate_each(const OpenUcx& m, const Check& check) {
  check.range("generation", m.generation, 1, UINT64_MAX);
}
void validate_each(const UcxGrant& m, const Check& check) {
  check.range("generation", m.generation, 1, UINT64_MAX);
  check.range("parts", m.parts, 1, 2);
  check.range("block_stride", m.block_stride, 1, kMaxRegionBytes);
  check.range("planes", m.planes.size(), 1, kMaxPlanes);
  check.range("regions", m.regions.size(), 1, kMaxRegions);
  for (const auto& plane : m.planes) {
    check.range("planes.region", plane.region, 0, m.regions.size() - 1);
    check.range("planes.offset", plane.offset, 0, kMaxRegionBytes);
  }
  for (const auto& region : m.regions) {
    check.range("regions.bytes", region.bytes, 1, kMaxRegionBytes);
    check.range("regions.base", region.base, 1, UINT64_MAX - region.bytes);
    check.range("regions.key", region.key.size(), 1, kMaxUcxKeyBytes);
  }
}

}  // namespace

void validate(const Message& message, ErrorCode code) {
  const Check check(code, name_of(message));
  std::visit([&](const auto& m) { validate_each(m, check); }, message);
}

}  // namespace kvferry::wire
