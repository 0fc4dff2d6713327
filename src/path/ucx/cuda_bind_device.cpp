#include <cuda_runtime_api.h>

#include "memory/cuda_check.hpp"
#include "path/ucx/bind_device.hpp"

namespace kvferry::path::ucx {

void bind_device(Device device) {
  if (!device.is_cuda()) return;
  cuda::check(cudaSetDevice(device.ordinal), "cudaSetDevice");
  cuda::check(cudaFree(nullptr), "cudaFree(nullptr)");  // before CUDA 12 setting alone made none
}

}  // namespace kvferry::path::ucx
