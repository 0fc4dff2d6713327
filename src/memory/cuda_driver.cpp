#include "memory/cuda_driver.hpp"

#include <cuda_runtime_api.h>

#include <optional>

#include "kvferry/error.hpp"

namespace kvferry::cuda {
namespace {

template <typename F>
bool find(const char* symbol, unsigned version, F& function) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(symbol, &address, version, cudaEnableDefault, &found);
#else
  (void)version;
  const cudaError_t error = cudaGetDriverEntryPoint(symbol, &address, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess) (void)cudaGetLastError();
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return false;
  function = reinterpret_cast<F>(address);
  return function != nullptr;
}

bool find_memory(Driver& d) {
  return find("cuMemGetInfo", 3020, d.mem_info) &&
         find("cuMemGetAddressRange", 3020, d.address_range) &&
         find("cuMemCreate", 10020, d.mem_create) && find("cuMemRelease", 10020, d.mem_release) &&
         find("cuMemAddressReserve", 10020, d.address_reserve) &&
         find("cuMemAddressFree", 10020, d.address_free) && find("cuMemMap", 10020, d.mem_map) &&
         find("cuMemUnmap", 10020, d.mem_unmap) && find("cuMemSetAccess", 10020, d.set_access) &&
         find("cuMemExportToShareableHandle", 10020, d.export_handle) &&
         find("cuMemImportFromShareableHandle", 10020, d.import_handle) &&
         find("cuMemGetAllocationGranularity", 10020, d.granularity) &&
         find("cuMemGetAllocationPropertiesFromHandle", 10020, d.allocation_properties) &&
         find("cuMemRetainAllocationHandle", 11000, d.retain_allocation);
}

std::optional<Driver> load() {
  Driver d;
  const bool complete =
      find("cuInit", 2000, d.init) && find("cuGetErrorName", 6000, d.error_name) &&
      find("cuGetErrorString", 6000, d.error_string) &&
      find("cuDeviceGetUuid", 11040, d.device_uuid) &&
      find("cuDeviceGetAttribute", 2000, d.device_attribute) &&
      find("cuDevicePrimaryCtxRetain", 7000, d.retain_primary_context) &&
      find("cuCtxPushCurrent", 4000, d.push_context) &&
      find("cuCtxPopCurrent", 4000, d.pop_context) &&
      find("cuThreadExchangeStreamCaptureMode", 10010, d.exchange_capture_mode) &&
      find("cuEventQuery", 2000, d.event_query) && find("cuMemcpy2DAsync", 3020, d.copy_2d) &&
      find("cuStreamWriteValue32", 11070, d.write_value) &&
      find("cuPointerGetAttribute", 4000, d.pointer_attribute) && find_memory(d);
  if (!complete || d.init(0) != CUDA_SUCCESS) return std::nullopt;
  return d;
}

}  // namespace

const Driver* find_driver() noexcept {
  static const std::optional<Driver> loaded = load();
  return loaded ? &*loaded : nullptr;
}

const Driver& driver() {
  const Driver* found = find_driver();
  if (found == nullptr)
    throw Error(ErrorCode::resource,
                "no usable NVIDIA driver on this machine (libcuda.so.1 of CUDA 11.4 or newer)");
  return *found;
}

}  // namespace kvferry::cuda
