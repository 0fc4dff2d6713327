#include "wire/validate_offer.hpp"

#include <fmt/format.h>

#include <set>

namespace kvferry::wire {
namespace {

void validate_chunks(const memory::RegionOffer& region, std::string_view field,
                     const Check& check) {
  const auto kind = region.chunks.front().kind;
  std::uint64_t sum = 0;
  for (const auto& chunk : region.chunks) {
    check.require(chunk.kind == kind, field, "its chunks are of different kinds");
    if (chunk.bytes == 0 || chunk.bytes > kMaxRegionBytes || chunk.offset > kMaxRegionBytes)
      check.fail(field, fmt::format("a chunk of {} bytes at offset {}; bytes must be 1 to 2^47, "
                                    "the offset at most 2^47",
                                    chunk.bytes, chunk.offset));
    if (kind == memory::ChunkKind::host_private &&
        (chunk.address == 0 || !fits(chunk.address, 1, 0, chunk.bytes, INT64_MAX)))
      check.fail(field, fmt::format("no process has {} bytes at address 0x{:x}", chunk.bytes,
                                    chunk.address));
    if (kind == memory::ChunkKind::cuda_ipc) check.not_zero(field, chunk.ipc);
    sum += chunk.bytes;  // 65,536 chunks of 2^47 bytes are 2^63
  }
  if (sum != region.bytes)
    check.fail(field, fmt::format("its chunks hold {} bytes, the region {}", sum, region.bytes));
}

void validate_region(const memory::RegionOffer& region, std::string_view field,
                     const Check& check) {
  check.not_zero(field, region.id);
  if (region.bytes == 0 || region.bytes > kMaxRegionBytes)
    check.fail(field, fmt::format("{} bytes; it must be 1 to 2^47", region.bytes));
  check.require(!region.chunks.empty(), field, "it has no chunks");
  const auto kind = static_cast<std::uint8_t>(region.chunks.front().kind);
  if (kind > static_cast<std::uint8_t>(memory::ChunkKind::cuda_ipc))
    check.fail(field, fmt::format("{} is no kind of memory this build knows", kind));
  const bool has_gpu = region.gpu != memory::GpuUuid{};
  check.require(has_gpu == memory::is_cuda(region.chunks.front().kind), field,
                "the GPU's UUID must be set for GPU memory and zero for host memory");
}

void validate_regions(const memory::PoolOffer& offer, const Check& check) {
  check.range("regions", offer.regions.size(), 1, kMaxRegions);
  std::uint64_t chunks = 0;
  for (const auto& region : offer.regions) chunks += region.chunks.size();
  check.range("chunks", chunks, 1, kMaxChunks);
  std::set<memory::RegionId> ids;
  for (std::size_t i = 0; i < offer.regions.size(); ++i) {
    const auto& region = offer.regions[i];
    const std::string field = fmt::format("regions[{}]", i);
    validate_region(region, field, check);
    validate_chunks(region, field, check);
    check.require(region.gpu == offer.regions[0].gpu, field,
                  "it is on another device than the first; a pool lies on one device");
    check.require(ids.insert(region.id).second, field, "another region has the same id");
  }
}

void validate_planes(const PoolGrant& grant, std::uint64_t row_bytes, const Check& check) {
  const auto& offer = grant.offer;
  const std::uint64_t expected = std::uint64_t{grant.shape.layers} * offer.parts;
  if (offer.planes.size() != expected || expected > kMaxPlanes)
    check.fail("planes", fmt::format("{} planes; {} layers in {} parts need {} (at most {})",
                                     offer.planes.size(), grant.shape.layers, offer.parts, expected,
                                     kMaxPlanes));
  for (std::size_t i = 0; i < offer.planes.size(); ++i) {
    const auto& plane = offer.planes[i];
    if (plane.region >= offer.regions.size())
      check.fail("planes", fmt::format("plane {} lies in region {} of {}", i, plane.region,
                                       offer.regions.size()));
    const std::uint64_t limit = offer.regions[plane.region].bytes;
    if (!fits(plane.offset, grant.blocks, offer.block_stride, row_bytes, limit))
      check.fail("planes",
                 fmt::format("plane {} ends beyond its region: offset {}, {} rows of {} "
                             "bytes every {} bytes, in {} bytes",
                             i, plane.offset, grant.blocks, row_bytes, offer.block_stride, limit));
  }
}

}  // namespace

void validate_offer(const PoolGrant& grant, const Check& check) {
  const auto& offer = grant.offer;
  check.range("generation", offer.generation, 1, UINT64_MAX);
  check.shape(grant.shape, grant.blocks);
  if (offer.parts != 1 && offer.parts != grant.shape.kv)
    check.fail("parts", fmt::format("{}; it must be 1, or kv ({})", offer.parts, grant.shape.kv));
  const std::uint64_t row_bytes = grant.shape.block_bytes() / offer.parts;
  check.range("block_stride", offer.block_stride, row_bytes, kMaxRegionBytes);
  validate_regions(offer, check);
  validate_planes(grant, row_bytes, check);
  const std::uint32_t fds = fds_needed(offer);
  check.range("fds_total", grant.fds_total, fds, fds);
}

}  // namespace kvferry::wire
