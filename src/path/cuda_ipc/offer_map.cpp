#include "path/cuda_ipc/offer_map.hpp"

#include <fmt/format.h>

namespace kvferry::path {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::refused, "the peer's description of its pool does not hold: " + why);
}

// Bytes from the start of a plane to the end of its last block; 0 where that overflows.
std::uint64_t plane_extent(std::uint64_t blocks, std::uint64_t stride, std::uint64_t row_bytes) {
  std::uint64_t extent = 0;
  if (__builtin_mul_overflow(blocks - 1, stride, &extent) ||
      __builtin_add_overflow(extent, row_bytes, &extent))
    return 0;
  return extent;
}

}  // namespace

plan::BlockMap map_offer(const RemoteEnd& remote, std::span<const std::uint64_t> region_addresses) {
  const memory::PoolOffer& offer = remote.offer;
  if (offer.parts != 1 && !(offer.parts == 2 && remote.shape.kv == 2))
    refuse(fmt::format("a block in {} parts", offer.parts));
  const std::uint64_t planes = static_cast<std::uint64_t>(remote.shape.layers) * offer.parts;
  if (offer.planes.size() != planes)
    refuse(fmt::format("{} planes for {} layers in {} parts", offer.planes.size(),
                       remote.shape.layers, offer.parts));
  if (offer.regions.size() != region_addresses.size()) refuse("regions are missing");
  plan::BlockMap map;
  map.parts = offer.parts;
  map.block_stride = offer.block_stride;
  map.row_bytes = remote.shape.block_bytes() / offer.parts;
  map.blocks = remote.blocks;
  if (map.blocks == 0) refuse("no blocks");
  const std::uint64_t extent = plane_extent(map.blocks, map.block_stride, map.row_bytes);
  if (extent == 0 || map.block_stride < map.row_bytes)
    refuse(
        fmt::format("{} blocks of {} bytes every {}", map.blocks, map.row_bytes, map.block_stride));
  map.plane_base.reserve(planes);
  for (const memory::PlaneRef& plane : offer.planes) {
    if (plane.region >= region_addresses.size())
      refuse(fmt::format("a plane in region {} of {}", plane.region, region_addresses.size()));
    const std::uint64_t bytes = offer.regions[plane.region].bytes;
    if (plane.offset > bytes || extent > bytes - plane.offset)
      refuse(fmt::format("a plane of {} bytes at offset {} of a region of {}", extent, plane.offset,
                         bytes));
    map.plane_base.push_back(region_addresses[plane.region] + plane.offset);
  }
  return map;
}

}  // namespace kvferry::path
