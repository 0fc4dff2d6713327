#pragma once

#include <cstring>
#include <kvferry/kvferry.hpp>
#include <stdexcept>

#if EXAMPLE_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

// Copies between ordinary memory and a pool's, wherever that is: what an engine's own kernels do.
inline void copy_bytes(kvferry::Device device, void* to, const void* from, std::size_t bytes) {
  if (!device.is_cuda()) {
    std::memcpy(to, from, bytes);
    return;
  }
#if EXAMPLE_WITH_CUDA
  if (cudaSetDevice(device.ordinal) == cudaSuccess &&
      cudaMemcpy(to, from, bytes, cudaMemcpyDefault) == cudaSuccess) {
    return;
  }
#endif
  throw std::runtime_error("cannot copy to or from " + device.to_string());
}

// The first GPU, or the host where there is none.
inline kvferry::Device best_device() {
  return kvferry::cuda_device_count() > 0 ? kvferry::Device::cuda(0) : kvferry::Device::host();
}
