#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <source_location>
#include <string>
#include <string_view>

#include "kvferry/error.hpp"

namespace kvferry::cuda {

// "out of memory (cudaErrorMemoryAllocation)"
std::string describe(cudaError_t error);
std::string describe(CUresult result);

// Throws: Error{code} "<what>: <what CUDA said>" unless the call succeeded. Clears the runtime's
// last error, which is the caller's to see, not ours to leave behind.
void check(cudaError_t error, std::string_view what, ErrorCode code = ErrorCode::resource,
           std::source_location where = std::source_location::current());
void check(CUresult result, std::string_view what, ErrorCode code = ErrorCode::resource,
           std::source_location where = std::source_location::current());

}  // namespace kvferry::cuda
