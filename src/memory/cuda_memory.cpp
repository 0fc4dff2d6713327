#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "memory/cuda_vmm.hpp"
#include "memory/gpu_uuid.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry {

int cuda_device_count(std::string* why) noexcept {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    count = 0;
  }
  if (count == 0 && why != nullptr) {
    if (error == cudaErrorInsufficientDriver)
      *why = "no NVIDIA driver, or one too old for this build's CUDA runtime";
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
      *why = "the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)";
    else
      *why = fmt::format("CUDA cannot start: {}", cuda::describe(error));
  }
  return count;
}

namespace memory {
namespace {

void require_device(int device) {
  std::string why;
  const int count = cuda_device_count(&why);
  if (count == 0) throw Error(ErrorCode::resource, fmt::format("no usable GPU: {}", why));
  if (device < 0 || device >= count)
    throw Error(ErrorCode::resource,
                fmt::format("no GPU cuda:{}; this process sees {} (cuda:0 to cuda:{})", device,
                            count, count - 1));
}

bool has(int device, CUdevice_attribute attribute) {
  int value = 0;
  return cuda::driver().device_attribute(&value, attribute, device) == CUDA_SUCCESS && value != 0;
}

cuda::Allocation create(int device, std::uint64_t bytes) {
  if (!has(device, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED))
    throw Error(ErrorCode::resource,
                fmt::format("GPU cuda:{} cannot export memory as a file descriptor; attach memory "
                            "from cudaMalloc instead",
                            device));
  CUmemAllocationProp properties = cuda::exportable_properties(device);
  // Lets a network card read and write the memory directly.
  properties.allocFlags.gpuDirectRDMACapable =
      has(device, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED) ? 1 : 0;
  CUmemGenericAllocationHandle handle = 0;
  CUresult result = cuda::driver().mem_create(&handle, bytes, &properties, 0);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY) {
    properties.allocFlags.gpuDirectRDMACapable = 0;
    result = cuda::driver().mem_create(&handle, bytes, &properties, 0);
  }
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    cuda::driver().mem_info(&free_bytes, &total_bytes);
    throw Error(ErrorCode::resource,
                fmt::format("too little memory on GPU cuda:{}: {} bytes asked, {} of {} free",
                            device, bytes, free_bytes, total_bytes));
  }
  cuda::check(result, fmt::format("cannot allocate {} bytes on GPU cuda:{}", bytes, device));
  return cuda::Allocation(handle);
}

// Memory of ours: one VMM allocation, mapped for its own device, exported once.
class VmmRegion final : public Region {
 public:
  VmmRegion(int device, std::uint64_t bytes) {
    const cuda::DeviceGuard guard(device);
    const std::uint64_t granularity =
        cuda::vmm_granularity(device, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
    if (bytes == 0 || bytes > UINT64_MAX - granularity)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("cannot allocate {} bytes on GPU cuda:{}", bytes, device));
    bytes_ = (bytes + granularity - 1) / granularity * granularity;
    const cuda::Allocation allocation = create(device, bytes_);
    range_ = cuda::VmmRange::reserve(bytes_, granularity);
    cuda::check(range_.try_append(allocation, bytes_), "cannot map GPU memory");
    cuda::check(range_.try_allow(device), "cannot make GPU memory accessible");
    fds_.push_back(cuda::export_fd(allocation));
    base_ = range_.base();
    device_ = Device::cuda(device);
    gpu_ = device_uuid(device);
    chunks_.push_back({.kind = ChunkKind::vmm_fd, .bytes = bytes_});
  }

 private:
  cuda::VmmRange range_;
};

}  // namespace

std::shared_ptr<Region> allocate_cuda(int device, std::uint64_t bytes) {
  require_device(device);
  return std::make_shared<VmmRegion>(device, bytes);
}

std::optional<int> device_of(const void* pointer) {
  const cuda::Driver* driver = cuda::find_driver();
  if (driver == nullptr) return std::nullopt;
  const auto address = reinterpret_cast<CUdeviceptr>(pointer);
  // Fails for plain host memory, of which CUDA knows nothing. Pinned memory says "host".
  CUmemorytype type = CU_MEMORYTYPE_HOST;
  if (driver->pointer_attribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address) != CUDA_SUCCESS ||
      type != CU_MEMORYTYPE_DEVICE)
    return std::nullopt;
  int ordinal = 0;
  cuda::check(driver->pointer_attribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address),
              "cannot find the GPU of a device pointer");
  return ordinal;
}

std::optional<int> find_device(const GpuUuid& gpu) {
  const int count = cuda_device_count();
  for (int device = 0; device < count; ++device)
    if (device_uuid(device) == gpu) return device;
  return std::nullopt;
}

GpuUuid device_uuid(int device) {
  require_device(device);
  CUuuid raw{};
  cuda::check(cuda::driver().device_uuid(&raw, device),
              fmt::format("cannot read the UUID of GPU cuda:{}", device));
  GpuUuid gpu{};
  static_assert(sizeof raw.bytes == sizeof gpu);
  std::memcpy(gpu.data(), raw.bytes, gpu.size());
  return gpu;
}

}  // namespace memory
}  // namespace kvferry
