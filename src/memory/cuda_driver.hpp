#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

namespace kvferry::cuda {

// Entry points of the NVIDIA driver, found at run time through the CUDA runtime: nothing links
// libcuda, so that a build with CUDA still runs where there is no driver.
struct Driver {
  PFN_cuInit_v2000 init = nullptr;
  PFN_cuGetErrorName_v6000 error_name = nullptr;
  PFN_cuGetErrorString_v6000 error_string = nullptr;
  PFN_cuDeviceGetUuid_v11040 device_uuid = nullptr;
  PFN_cuDeviceGetAttribute_v2000 device_attribute = nullptr;
  PFN_cuDevicePrimaryCtxRetain_v7000 retain_primary_context = nullptr;
  PFN_cuCtxPushCurrent_v4000 push_context = nullptr;
  PFN_cuCtxPopCurrent_v4000 pop_context = nullptr;
  PFN_cuThreadExchangeStreamCaptureMode_v10010 exchange_capture_mode = nullptr;
  PFN_cuEventQuery_v2000 event_query = nullptr;
  PFN_cuMemcpy2DAsync_v3020 copy_2d = nullptr;
  PFN_cuStreamWriteValue32_v11070 write_value = nullptr;
  PFN_cuPointerGetAttribute_v4000 pointer_attribute = nullptr;
  PFN_cuMemGetInfo_v3020 mem_info = nullptr;
  PFN_cuMemGetAddressRange_v3020 address_range = nullptr;
  PFN_cuMemCreate_v10020 mem_create = nullptr;
  PFN_cuMemRelease_v10020 mem_release = nullptr;
  PFN_cuMemAddressReserve_v10020 address_reserve = nullptr;
  PFN_cuMemAddressFree_v10020 address_free = nullptr;
  PFN_cuMemMap_v10020 mem_map = nullptr;
  PFN_cuMemUnmap_v10020 mem_unmap = nullptr;
  PFN_cuMemSetAccess_v10020 set_access = nullptr;
  PFN_cuMemExportToShareableHandle_v10020 export_handle = nullptr;
  PFN_cuMemImportFromShareableHandle_v10020 import_handle = nullptr;
  PFN_cuMemGetAllocationGranularity_v10020 granularity = nullptr;
  PFN_cuMemGetAllocationPropertiesFromHandle_v10020 allocation_properties = nullptr;
  PFN_cuMemRetainAllocationHandle_v11000 retain_allocation = nullptr;
};

// nullptr where there is no driver, or one too old to have them all. Looked up once; thread-safe.
const Driver* find_driver() noexcept;
// Throws: Error{resource} where find_driver() has none.
const Driver& driver();

}  // namespace kvferry::cuda
