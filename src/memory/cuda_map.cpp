#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "memory/cuda_access.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "memory/cuda_vmm.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::memory {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::refused, "cannot map the peer's GPU memory: " + why);
}

// What a peer says about its region must hold together before the driver sees any of it.
void validate(const RegionOffer& region, std::span<const UniqueFd> fds) {
  if (region.chunks.empty()) refuse("it names no chunk");
  const ChunkKind kind = region.chunks.front().kind;
  if (!is_cuda(kind)) refuse("it is not GPU memory");
  std::uint64_t total = 0;
  for (const Chunk& chunk : region.chunks) {
    if (chunk.kind != kind) refuse("its chunks are of different kinds");
    if (chunk.offset != 0) refuse(fmt::format("a chunk starts at offset {}, not 0", chunk.offset));
    if (chunk.bytes == 0 || chunk.bytes > region.bytes - total)
      refuse(fmt::format("a chunk of {} bytes does not fit its region of {}", chunk.bytes,
                         region.bytes));
    total += chunk.bytes;
  }
  if (total != region.bytes)
    refuse(fmt::format("its chunks hold {} bytes, the region {}", total, region.bytes));
  const std::size_t wanted = has_fd(kind) ? region.chunks.size() : 0;
  if (fds.size() != wanted)
    refuse(fmt::format("{} file descriptors came for {} chunks", fds.size(), wanted));
  if (kind == ChunkKind::cuda_ipc && region.chunks.size() != 1)
    refuse("an allocation has one CUDA IPC handle, not several");
}

std::string unreachable(int device, const std::string& said) {
  return fmt::format("cuda:{} cannot reach it ({}); the GPUs need NVLink or PCIe peer access",
                     device, said);
}

class VmmMapping final : public Mapping {
 public:
  VmmMapping(const RegionOffer& region, std::span<const UniqueFd> fds, int device) {
    const cuda::DeviceGuard guard(device);
    const std::uint64_t granularity =
        cuda::vmm_granularity(device, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
    for (const Chunk& chunk : region.chunks)
      if (chunk.bytes % granularity != 0)
        refuse(fmt::format("a chunk of {} bytes is no multiple of the granularity, {}", chunk.bytes,
                           granularity));
    range_ = cuda::VmmRange::reserve(region.bytes, granularity);
    for (std::size_t i = 0; i < fds.size(); ++i) append(fds[i].get(), region.chunks[i].bytes);
    if (const CUresult result = range_.try_allow(device); result != CUDA_SUCCESS)
      refuse(unreachable(device, cuda::describe(result)));
    base_ = range_.base();
  }

 private:
  void append(int fd, std::uint64_t bytes) {
    CUmemGenericAllocationHandle handle = 0;
    // The driver takes the descriptor by value in a pointer, and leaves it open.
    const CUresult imported = cuda::driver().import_handle(
        &handle, reinterpret_cast<void*>(static_cast<std::uintptr_t>(fd)),
        CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    cuda::check(imported, "cannot import the peer's GPU memory", ErrorCode::refused);
    const cuda::Allocation allocation(handle);
    cuda::check(range_.try_append(allocation, bytes), "cannot map the peer's GPU memory",
                ErrorCode::refused);
  }

  cuda::VmmRange range_;
};

class LegacyMapping final : public Mapping {
 public:
  LegacyMapping(const RegionOffer& region, int device) : device_(device) {
    const cuda::DeviceGuard guard(device);
    cudaIpcMemHandle_t handle{};
    std::memcpy(&handle, region.chunks.front().ipc.data(), sizeof handle);
    void* address = nullptr;
    const cudaError_t error =
        cudaIpcOpenMemHandle(&address, handle, cudaIpcMemLazyEnablePeerAccess);
    if (error != cudaSuccess) {
      (void)cudaGetLastError();
      refuse(unreachable(device, cuda::describe(error)));
    }
    base_ = static_cast<std::byte*>(address);
    // The handle says how large the allocation is: a peer that claims more would have us read and
    // write past it.
    CUdeviceptr start = 0;
    std::size_t size = 0;
    const CUresult known =
        cuda::driver().address_range(&start, &size, reinterpret_cast<CUdeviceptr>(address));
    if (known == CUDA_SUCCESS &&
        start + size < reinterpret_cast<CUdeviceptr>(address) + region.bytes) {
      close();
      refuse(fmt::format("it claims {} bytes of an allocation of {}", region.bytes, size));
    }
  }
  ~LegacyMapping() override {
    try {
      const cuda::DeviceGuard guard(device_);
      close();
    } catch (const Error&) {
      // No driver any more: the process is ending, and the mapping with it.
    }
  }

 private:
  void close() noexcept {
    if (cudaIpcCloseMemHandle(base_) != cudaSuccess) (void)cudaGetLastError();
  }

  int device_ = 0;
};

}  // namespace

std::unique_ptr<Mapping> map_cuda(const RegionOffer& region, std::span<const UniqueFd> fds,
                                  int device) {
  validate(region, fds);
  if (region.chunks.front().kind == ChunkKind::vmm_fd)
    return std::make_unique<VmmMapping>(region, fds, device);
  return std::make_unique<LegacyMapping>(region, device);
}

void allow_access(const Region& region, int device) {
  const int owner = region.device().ordinal;
  if (owner == device) return;
  if (!cuda::can_reach(device, owner))
    throw Error(ErrorCode::refused,
                fmt::format("cuda:{} has no peer access to cuda:{}", device, owner));
  const cuda::DeviceGuard guard(device);
  if (region.chunks().front().kind == ChunkKind::vmm_fd) {
    CUmemAccessDesc access{};
    access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access.location.id = device;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    cuda::check(cuda::driver().set_access(reinterpret_cast<CUdeviceptr>(region.base()),
                                          region.bytes(), &access, 1),
                fmt::format("cannot let cuda:{} reach memory of cuda:{}", device, owner),
                ErrorCode::refused);
    return;
  }
  const cudaError_t error = cudaDeviceEnablePeerAccess(owner, 0);
  if (error == cudaErrorPeerAccessAlreadyEnabled) {
    (void)cudaGetLastError();
    return;
  }
  cuda::check(error, fmt::format("cannot let cuda:{} reach memory of cuda:{}", device, owner),
              ErrorCode::refused);
}

}  // namespace kvferry::memory
