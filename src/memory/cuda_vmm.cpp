#include "memory/cuda_vmm.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "memory/cuda_check.hpp"
#include "memory/cuda_driver.hpp"

namespace kvferry::cuda {

Allocation::~Allocation() {
  if (owned_) driver().mem_release(handle_);
}

VmmRange VmmRange::reserve(std::uint64_t bytes, std::uint64_t alignment) {
  VmmRange range;
  check(driver().address_reserve(&range.address_, bytes, alignment, 0, 0),
        fmt::format("cannot reserve {} bytes of device addresses", bytes));
  range.bytes_ = bytes;
  return range;
}

VmmRange::~VmmRange() {
  if (bytes_ == 0) return;
  // Errors are left alone: at process exit the driver may already have taken everything down.
  CUdeviceptr at = address_;
  for (const std::uint64_t bytes : pieces_) {
    driver().mem_unmap(at, bytes);
    at += bytes;
  }
  driver().address_free(address_, bytes_);
}

CUresult VmmRange::try_append(const Allocation& allocation, std::uint64_t bytes) {
  if (bytes > bytes_ - mapped_) return CUDA_ERROR_INVALID_VALUE;
  pieces_.reserve(pieces_.size() + 1);
  const CUresult result = driver().mem_map(address_ + mapped_, bytes, 0, allocation.get(), 0);
  if (result == CUDA_SUCCESS) {
    mapped_ += bytes;
    pieces_.push_back(bytes);
  }
  return result;
}

CUresult VmmRange::try_allow(int device) noexcept {
  CUmemAccessDesc access{};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.location.id = device;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return driver().set_access(address_, mapped_, &access, 1);
}

CUmemAllocationProp exportable_properties(int device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

std::uint64_t vmm_granularity(int device, CUmemAllocationGranularity_flags which) {
  const CUmemAllocationProp properties = exportable_properties(device);
  std::size_t bytes = 0;
  check(driver().granularity(&bytes, &properties, which),
        fmt::format("GPU cuda:{} has no virtual memory management", device));
  return bytes;
}

UniqueFd export_fd(const Allocation& allocation) {
  int fd = -1;
  check(driver().export_handle(&fd, allocation.get(), CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
        "cannot export GPU memory as a file descriptor", ErrorCode::refused);
  UniqueFd owned(fd);
  // The driver does not promise it, and children of this process must not inherit GPU memory.
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return owned;
}

}  // namespace kvferry::cuda
