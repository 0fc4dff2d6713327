#include "path/cuda_ipc/cuda_ipc_path.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "memory/cuda_access.hpp"
#include "memory/cuda_device.hpp"
#include "memory/gpu_uuid.hpp"
#include "path/cuda_ipc/cuda_pair.hpp"
#include "path/cuda_ipc/cuda_route.hpp"
#include "path/cuda_ipc/offer_map.hpp"

namespace kvferry::path {

// Lanes of GPUs, and legacy mappings to share: kept here so that a second pool, or a second peer,
// costs nothing again.
class CudaIpcPath::Impl {
 public:
  std::shared_ptr<Lane> lane(int device) {
    std::lock_guard lock(mutex_);
    auto& lane = lanes_[device];
    if (lane == nullptr) lane = Lane::open(device);
    return lane;
  }

  // A peer's GPU region. CUDA opens a legacy handle once a process, so pools in one allocation
  // share its mapping, found by the handle itself: ids are only what peers claim.
  std::shared_ptr<memory::Mapping> map(const memory::RegionOffer& region,
                                       std::span<const UniqueFd> fds, int device) {
    if (region.chunks.size() != 1 || region.chunks.front().kind != memory::ChunkKind::cuda_ipc)
      return memory::map_cuda(region, fds, device);
    std::lock_guard lock(mutex_);
    auto& known = legacy_[{device, region.bytes, region.chunks.front().ipc}];
    if (auto mapping = known.lock()) return mapping;
    std::shared_ptr<memory::Mapping> mapping = memory::map_cuda(region, fds, device);
    known = mapping;
    std::erase_if(legacy_, [](const auto& entry) { return entry.second.expired(); });
    return mapping;
  }

 private:
  using LegacyKey = std::tuple<int, std::uint64_t, memory::IpcHandle>;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<Lane>> lanes_;
  std::map<LegacyKey, std::weak_ptr<memory::Mapping>> legacy_;
};

namespace {

MappedEnd map_local(const std::shared_ptr<detail::PoolImpl>& pool) {
  MappedEnd end;
  end.pool = pool;
  end.map = pool->block_map();
  if (pool->device.is_cuda()) return end;
  // The executor is a GPU: it sees the pinned memory at addresses of its own.
  for (const auto& region : pool->regions)
    end.pins.push_back(HostPin::pin(region->base(), region->bytes(), false));
  for (std::size_t p = 0; p < pool->planes.size(); ++p)
    end.map.plane_base[p] =
        end.pins[pool->planes[p].region].device_address() + pool->planes[p].offset;
  return end;
}

// A pool of this same process: at its own addresses.
std::uint64_t reach_own(const memory::RegionOffer& offer, int device, MappedEnd& end) {
  auto region = memory::find_local(offer.id);
  if (region == nullptr || region->bytes() != offer.bytes)
    throw Error(ErrorCode::refused, "the other pool of this process is gone");
  end.regions.push_back(region);
  if (region->device().is_cuda()) {
    memory::allow_access(*region, device);
    return reinterpret_cast<std::uint64_t>(region->base());
  }
  end.pins.push_back(HostPin::pin(region->base(), region->bytes(), false));
  return end.pins.back().device_address();
}

std::uint64_t reach_gpu(std::shared_ptr<memory::Mapping> mapping, MappedEnd& end) {
  end.mappings.push_back(std::move(mapping));
  return reinterpret_cast<std::uint64_t>(end.mappings.back()->base());
}

std::uint64_t reach_host(const memory::RegionOffer& region, std::span<const UniqueFd> fds,
                         bool writable, MappedEnd& end) {
  end.mappings.push_back(memory::map_host(region, fds, writable));
  end.pins.push_back(HostPin::pin(end.mappings.back()->base(), region.bytes, !writable));
  return end.pins.back().device_address();
}

bool is_one_allocation(const std::vector<std::shared_ptr<memory::Region>>& regions) {
  return regions.size() == 1 && regions.front()->chunks().size() == 1;
}
bool is_one_allocation(const std::vector<memory::RegionOffer>& regions) {
  return regions.size() == 1 && regions.front().chunks.size() == 1;
}

}  // namespace

CudaIpcPath::CudaIpcPath(const CopyCosts& costs) : costs_(costs), impl_(std::make_unique<Impl>()) {}
CudaIpcPath::~CudaIpcPath() = default;

PathVerdict CudaIpcPath::judge(const detail::PoolImpl& local, const RemoteEnd& remote) const {
  CudaPair pair = pair_up(local, remote);
  PathVerdict verdict;
  verdict.path = name();
  verdict.usable = !pair.devices.empty();
  verdict.reason = std::move(pair.reason);
  return verdict;
}

std::unique_ptr<Route> CudaIpcPath::open(const std::shared_ptr<detail::PoolImpl>& local,
                                         RemoteEnd remote) {
  const CudaPair pair = pair_up(*local, remote);
  if (pair.devices.empty()) throw Error(ErrorCode::refused, "path cuda_ipc: " + pair.reason);
  for (std::size_t i = 0;; ++i) {
    try {
      return open_on(pair.devices[i], pair.link, local, remote);
    } catch (const Error&) {
      if (i + 1 == pair.devices.size()) throw;
    }
  }
}

std::unique_ptr<Route> CudaIpcPath::open_on(int device, Link link,
                                            const std::shared_ptr<detail::PoolImpl>& local,
                                            const RemoteEnd& remote) {
  auto lane = impl_->lane(device);
  const cuda::DeviceGuard guard(device);
  MappedEnd end;
  std::vector<std::uint64_t> addresses;
  std::span<const UniqueFd> fds(remote.fds);
  for (const memory::RegionOffer& region : remote.offer.regions) {
    if (remote.same_process) {
      addresses.push_back(reach_own(region, device, end));
      continue;
    }
    std::size_t count = 0;
    for (const memory::Chunk& chunk : region.chunks) count += memory::has_fd(chunk.kind) ? 1 : 0;
    if (count > fds.size())
      throw Error(ErrorCode::refused, "the peer sent fewer file descriptors than chunks");
    const auto own = fds.first(count);
    fds = fds.subspan(count);
    addresses.push_back(memory::is_cuda(region.chunks.front().kind)
                            ? reach_gpu(impl_->map(region, own, device), end)
                            : reach_host(region, own, remote.writable, end));
  }
  end.map = map_offer(remote, addresses);
  const bool planes_together =
      is_one_allocation(local->regions) && is_one_allocation(remote.offer.regions);
  return std::make_unique<CudaRoute>(
      CudaRoute::Setup{std::move(lane), link, planes_together, costs_}, map_local(local),
      std::move(end));
}

}  // namespace kvferry::path
