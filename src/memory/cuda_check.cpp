#include "memory/cuda_check.hpp"

#include <fmt/format.h>

#include "memory/cuda_driver.hpp"

namespace kvferry::cuda {

std::string describe(cudaError_t error) {
  return fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error));
}

std::string describe(CUresult result) {
  const char* name = nullptr;
  const char* text = nullptr;
  if (const Driver* d = find_driver()) {
    d->error_name(result, &name);
    d->error_string(result, &text);
  }
  if (name == nullptr || text == nullptr)
    return fmt::format("driver error {}", static_cast<int>(result));
  return fmt::format("{} ({})", text, name);
}

void check(cudaError_t error, std::string_view what, ErrorCode code, std::source_location where) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();
  throw Error(code, fmt::format("{}: {}", what, describe(error)), where);
}

void check(CUresult result, std::string_view what, ErrorCode code, std::source_location where) {
  if (result == CUDA_SUCCESS) return;
  throw Error(code, fmt::format("{}: {}", what, describe(result)), where);
}

}  // namespace kvferry::cuda
