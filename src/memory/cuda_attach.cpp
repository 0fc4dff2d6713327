#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "memory/cuda_vmm.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::memory {
namespace {

constexpr std::string_view kAdvice =
    "allocate it with cudaMalloc, with cuMemCreate and a POSIX-fd handle type, or with "
    "Pool::allocate";

// An attribute of a pointer; `otherwise` where the driver does not know it.
template <typename T>
T attribute(CUpointer_attribute which, CUdeviceptr address, T otherwise) {
  T value = otherwise;
  if (cuda::driver().pointer_attribute(&value, which, address) != CUDA_SUCCESS) return otherwise;
  return value;
}

struct Span {
  CUdeviceptr base = 0;
  std::uint64_t bytes = 0;
};

// The physical allocation's mapping that an address lies in. A whole reservation with many chunks
// mapped side by side has one address range, so that is asked for last.
Span mapping_of(CUdeviceptr address) {
  Span span;
  span.base = attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, address, 0);
  span.bytes = attribute<std::size_t>(CU_POINTER_ATTRIBUTE_MAPPING_SIZE, address, 0);
  if (span.base != 0 && span.bytes != 0) return span;
  std::size_t bytes = 0;
  if (cuda::driver().address_range(&span.base, &bytes, address) != CUDA_SUCCESS) return {};
  span.bytes = bytes;
  return span;
}

[[noreturn]] void refuse(const void* at, std::string_view why) {
  throw Error(ErrorCode::refused,
              fmt::format("GPU memory at {} cannot be shared: {}; {}", at, why, kAdvice));
}

// The caller's GPU memory: the whole allocations around the range it named.
class AttachedCudaRegion final : public Region {
 public:
  AttachedCudaRegion(int device, std::byte* first, std::uint64_t bytes) {
    const auto begin = reinterpret_cast<CUdeviceptr>(first);
    const cuda::DeviceGuard guard(device);
    device_ = Device::cuda(device);
    gpu_ = device_uuid(device);
    refuse_unshareable(begin);
    if (attribute<int>(CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, begin, 0) != 0)
      take_legacy(begin, bytes);
    else
      take_vmm(begin, bytes);
  }

 private:
  static void refuse_unshareable(CUdeviceptr begin) {
    const auto* at = reinterpret_cast<void*>(begin);
    if (attribute<unsigned>(CU_POINTER_ATTRIBUTE_IS_MANAGED, begin, 0) != 0)
      refuse(at, "it is managed memory (cudaMallocManaged)");
    if (attribute<CUmemoryPool>(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, begin, nullptr) != nullptr)
      refuse(at, "it comes from a stream-ordered memory pool (cudaMallocAsync)");
  }

  void take_legacy(CUdeviceptr begin, std::uint64_t bytes) {
    CUdeviceptr base = 0;
    std::size_t size = 0;
    cuda::check(cuda::driver().address_range(&base, &size, begin),
                "cannot find the allocation of a device pointer", ErrorCode::refused);
    const std::uint64_t offset = begin - base;
    if (offset > size || bytes > size - offset)
      refuse(reinterpret_cast<void*>(begin),
             fmt::format("{} bytes from offset {} reach past the end of its allocation of {} bytes",
                         bytes, offset, size));
    cudaIpcMemHandle_t handle{};
    cuda::check(cudaIpcGetMemHandle(&handle, reinterpret_cast<void*>(base)),
                "cannot export GPU memory by CUDA IPC (memory opened from another process cannot "
                "be shared again)",
                ErrorCode::refused);
    base_ = reinterpret_cast<std::byte*>(base);
    bytes_ = size;
    Chunk chunk{.kind = ChunkKind::cuda_ipc, .bytes = size};
    static_assert(sizeof handle == sizeof chunk.ipc);
    std::memcpy(chunk.ipc.data(), &handle, sizeof handle);
    chunks_.push_back(chunk);
  }

  // Walks the chunks that the range touches: allocators that grow (such as expandable segments)
  // map one tensor from many.
  void take_vmm(CUdeviceptr begin, std::uint64_t bytes) {
    const CUdeviceptr end = begin + bytes;
    for (CUdeviceptr at = begin; at < end;) {
      const Span span = mapping_of(at);
      if (span.bytes == 0 || at < span.base || at - span.base >= span.bytes)
        refuse(reinterpret_cast<void*>(at), "nothing is mapped there");
      if (chunks_.empty()) base_ = reinterpret_cast<std::byte*>(span.base);
      take_chunk(span);
      bytes_ += span.bytes;
      at = span.base + span.bytes;
    }
  }

  void take_chunk(const Span& span) {
    const auto* at = reinterpret_cast<void*>(span.base);
    CUmemGenericAllocationHandle handle = 0;
    if (cuda::driver().retain_allocation(&handle, reinterpret_cast<void*>(span.base)) !=
        CUDA_SUCCESS)
      refuse(at, "it is neither cudaMalloc memory nor a virtual memory mapping");
    const cuda::Allocation allocation(handle);
    CUmemAllocationProp properties{};
    cuda::check(cuda::driver().allocation_properties(&properties, handle),
                "cannot read the properties of GPU memory", ErrorCode::refused);
    if ((properties.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0)
      refuse(at, "it was created without a POSIX-fd handle type");
    if (properties.location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        properties.location.id != device_.ordinal)
      refuse(at, fmt::format("part of it is not on {}", device_.to_string()));
    fds_.push_back(cuda::export_fd(allocation));
    chunks_.push_back({.kind = ChunkKind::vmm_fd, .bytes = span.bytes});
  }
};

}  // namespace

std::shared_ptr<Region> attach_cuda(std::byte* base, std::uint64_t bytes) {
  const auto device = device_of(base);
  if (!device)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is no device pointer", static_cast<void*>(base)));
  if (bytes == 0 || bytes > UINT64_MAX - reinterpret_cast<std::uintptr_t>(base))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("cannot attach {} bytes at {}", bytes, static_cast<void*>(base)));
  return std::make_shared<AttachedCudaRegion>(*device, base, bytes);
}

}  // namespace kvferry::memory
