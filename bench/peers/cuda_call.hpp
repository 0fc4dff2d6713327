#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace kvferry::peers {

// Throws: std::runtime_error with `what` and CUDA's reason.
inline void cuda_call(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(result));
}

}  // namespace kvferry::peers
