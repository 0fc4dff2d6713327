#include "path/cuda_ipc/cuda_pair.hpp"

#include <fmt/format.h>

#include "memory/cuda_device.hpp"
#include "memory/gpu_uuid.hpp"

namespace kvferry::path {
namespace {

CudaPair unusable(std::string why) {
  CudaPair pair;
  pair.reason = std::move(why);
  return pair;
}

CudaPair usable(int device, Link link, std::string how) {
  CudaPair pair;
  pair.devices = {device};
  pair.link = link;
  pair.reason = std::move(how);
  return pair;
}

// Both on GPUs: ours copies.
CudaPair pair_gpus(int device, const memory::GpuUuid& remote_gpu) {
  const auto other = memory::find_device(remote_gpu);
  if (!other)
    return usable(device, Link::peer,
                  fmt::format("cuda:{} reaches {} (hidden from this process by "
                              "CUDA_VISIBLE_DEVICES) once it is mapped",
                              device, memory::format_uuid(remote_gpu)));
  if (*other == device) return usable(device, Link::same_gpu, "both pools on one GPU");
  if (!cuda::can_reach(device, *other))
    return unusable(
        fmt::format("cuda:{} has no peer access to cuda:{} (no NVLink or PCIe peer "
                    "path between these GPUs)",
                    device, *other));
  return usable(device, Link::peer, fmt::format("cuda:{} reaches cuda:{}", device, *other));
}

// Ours in host memory, the remote one on a GPU: that GPU copies, or one that reaches it.
CudaPair pair_host_with_gpu(const memory::GpuUuid& remote_gpu, int count) {
  if (const auto owner = memory::find_device(remote_gpu))
    return usable(*owner, Link::host, fmt::format("host memory pinned for cuda:{}", *owner));
  CudaPair pair =
      usable(0, Link::host,
             fmt::format("host memory pinned for one of {} GPUs that reaches {} (hidden "
                         "from this process by CUDA_VISIBLE_DEVICES)",
                         count, memory::format_uuid(remote_gpu)));
  for (int other = 1; other < count; ++other) pair.devices.push_back(other);
  return pair;
}

// Ours on a GPU, the remote one in host memory.
CudaPair pair_gpu_with_host(int device, const RemoteEnd& remote) {
  for (const memory::RegionOffer& region : remote.offer.regions)
    if (region.chunks.front().kind == memory::ChunkKind::host_private && !remote.same_process)
      return unusable(
          "the remote pool is private host memory of its process, which cannot be mapped; allocate "
          "it with Pool::allocate");
  if (!remote.writable && !remote.same_process &&
      !cuda::device_info(device).pins_read_only_host_memory)
    return unusable(
        fmt::format("the remote pool is read-only host memory, which cuda:{} cannot "
                    "pin on this system; make it writable",
                    device));
  return usable(device, Link::host, fmt::format("remote host memory pinned for cuda:{}", device));
}

}  // namespace

CudaPair pair_up(const detail::PoolImpl& local, const RemoteEnd& remote) {
  if (remote.over_network) return unusable(kReachedOverTcp);
  if (remote.offer.regions.empty()) return unusable("the remote pool has no memory");
  for (const memory::RegionOffer& region : remote.offer.regions)
    if (region.chunks.empty()) return unusable("a region of the remote pool has no chunk");
  const memory::RegionOffer& first = remote.offer.regions.front();
  const bool remote_cuda = memory::is_cuda(first.chunks.front().kind);
  for (const memory::RegionOffer& region : remote.offer.regions)
    if (memory::is_cuda(region.chunks.front().kind) != remote_cuda || region.gpu != first.gpu)
      return unusable("the remote pool lies on several devices");
  if (!local.device.is_cuda() && !remote_cuda) return unusable("both pools are in host memory");
  std::string why;
  const int count = cuda_device_count(&why);
  if (count == 0) return unusable("no usable GPU here: " + why);
  if (!local.device.is_cuda()) return pair_host_with_gpu(first.gpu, count);
  if (remote_cuda) return pair_gpus(local.device.ordinal, first.gpu);
  return pair_gpu_with_host(local.device.ordinal, remote);
}

}  // namespace kvferry::path
