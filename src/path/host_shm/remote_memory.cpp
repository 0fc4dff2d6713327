#include "path/host_shm/remote_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kvferry::path::host {

namespace {

using memory::ChunkKind;
using memory::RegionOffer;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::refused, message); }

bool all_of_kind(const RemoteEnd& remote, ChunkKind kind) {
  return std::ranges::all_of(remote.offer.regions, [&](const RegionOffer& region) {
    return !region.chunks.empty() &&
           std::ranges::all_of(region.chunks, [&](const auto& c) { return c.kind == kind; });
  });
}

bool any_cuda(const RemoteEnd& remote) {
  return std::ranges::any_of(remote.offer.regions, [](const RegionOffer& region) {
    return std::ranges::any_of(region.chunks, [](const auto& c) { return is_cuda(c.kind); });
  });
}

ReachVerdict judge_local(const RemoteEnd& remote) {
  for (const RegionOffer& region : remote.offer.regions) {
    const auto local = memory::find_local(region.id);
    if (!local) return {Reach::none, "the other pool of this process is gone"};
    if (local->device().is_cuda()) {
      return {Reach::none, fmt::format("the other pool is on {}", local->device().to_string())};
    }
  }
  return {Reach::direct, ""};
}

// Everything from here on is the peer's word: nothing may point outside its region.
void check_planes(const RemoteEnd& remote, std::uint64_t row_bytes) {
  const auto& offer = remote.offer;
  if (offer.planes.size() != static_cast<std::uint64_t>(remote.shape.layers) * offer.parts) {
    refuse(fmt::format("the peer offers {} planes for {} layers of {} part(s)", offer.planes.size(),
                       remote.shape.layers, offer.parts));
  }
  std::uint64_t extent = 0;
  if (remote.blocks == 0 || offer.block_stride < row_bytes ||
      __builtin_mul_overflow(static_cast<std::uint64_t>(remote.blocks) - 1, offer.block_stride,
                             &extent) ||
      __builtin_add_overflow(extent, row_bytes, &extent)) {
    refuse(fmt::format("the peer offers {} blocks of {} bytes with stride {}", remote.blocks,
                       row_bytes, offer.block_stride));
  }
  for (const memory::PlaneRef& plane : offer.planes) {
    const bool known = plane.region < offer.regions.size();
    const std::uint64_t bytes = known ? offer.regions[plane.region].bytes : 0;
    if (!known || plane.offset > bytes || extent > bytes - plane.offset) {
      refuse(
          fmt::format("the peer offers a plane of {} bytes at offset {} of region {}, which has "
                      "{} bytes",
                      extent, plane.offset, plane.region, bytes));
    }
  }
}

std::uint64_t address_of(const std::byte* base) { return reinterpret_cast<std::uintptr_t>(base); }

// Our own record of where the region is; the addresses in the offer are not looked at.
std::uint64_t open_direct(const RegionOffer& region, RemoteMemory& memory) {
  auto local = memory::find_local(region.id);
  if (!local || local->device().is_cuda() || local->bytes() != region.bytes) {
    refuse("the other pool of this process is gone");
  }
  memory.regions.push_back(std::move(local));
  return address_of(memory.regions.back()->base());
}

std::uint64_t open_private(const RegionOffer& region) {
  const auto& chunk = region.chunks.front();
  if (region.chunks.size() != 1 || chunk.bytes != region.bytes || chunk.address == 0 ||
      chunk.address + chunk.bytes < chunk.address) {
    refuse(fmt::format("the peer offers private memory of {} bytes at {:#x}", chunk.bytes,
                       chunk.address));
  }
  return chunk.address;
}

std::vector<std::uint64_t> open_regions(const RemoteEnd& remote, Reach reach,
                                        RemoteMemory& memory) {
  std::vector<std::uint64_t> bases;
  std::span<const UniqueFd> fds = remote.fds;
  for (const RegionOffer& region : remote.offer.regions) {
    switch (reach) {
      case Reach::direct: bases.push_back(open_direct(region, memory)); break;
      case Reach::private_: bases.push_back(open_private(region)); break;
      default: {
        const auto own = fds.first(std::min(fds.size(), region.chunks.size()));
        memory.mappings.push_back(memory::map_host(region, own, remote.writable));
        bases.push_back(address_of(memory.mappings.back()->base()));
        fds = fds.subspan(own.size());
      }
    }
  }
  return bases;
}

}  // namespace

ReachVerdict judge_reach(const RemoteEnd& remote) {
  if (remote.offer.regions.empty()) return {Reach::none, "the peer offers no memory"};
  if (any_cuda(remote)) return {Reach::none, "the remote pool is GPU memory"};
  if (remote.same_process) return judge_local(remote);
  if (all_of_kind(remote, ChunkKind::memfd)) {
    if (remote.fds.size() == remote.offer.regions.size()) return {Reach::mapped, ""};
    return {Reach::none,
            fmt::format("{} file descriptors came with {} shared memory regions; they travel over "
                        "a Unix socket only",
                        remote.fds.size(), remote.offer.regions.size())};
  }
  if (!all_of_kind(remote, ChunkKind::host_private)) {
    return {Reach::none, "the remote pool mixes kinds of memory"};
  }
  if (remote.pid <= 0) {
    return {Reach::none,
            "the remote pool is private memory of a process that this one cannot see (another PID "
            "namespace); let kvferry allocate it"};
  }
  if (remote.pidfd < 0) {
    return {Reach::none,
            "the remote pool is private memory, and without a pidfd (Linux 5.3) its owner cannot "
            "be told from a later process of the same pid; let kvferry allocate it"};
  }
  return {Reach::private_, ""};
}

RemoteMemory open_remote(const RemoteEnd& remote, Reach reach) {
  remote.shape.validate();
  const auto& offer = remote.offer;
  if (offer.parts == 0 || offer.parts > remote.shape.kv) {
    refuse(fmt::format("the peer offers {} parts a layer; its shape has kv {}", offer.parts,
                       remote.shape.kv));
  }
  const std::uint64_t row_bytes = remote.shape.block_bytes() / offer.parts;
  check_planes(remote, row_bytes);
  RemoteMemory memory;
  const auto bases = open_regions(remote, reach, memory);
  auto& map = memory.map;
  map.plane_base.reserve(offer.planes.size());
  for (const memory::PlaneRef& plane : offer.planes) {
    map.plane_base.push_back(bases[plane.region] + plane.offset);
  }
  map.parts = offer.parts;
  map.block_stride = offer.block_stride;
  map.row_bytes = row_bytes;
  map.blocks = remote.blocks;
  map.address_space = reach == Reach::private_ ? static_cast<std::uint64_t>(remote.pid) : 0;
  return memory;
}

}  // namespace kvferry::path::host
