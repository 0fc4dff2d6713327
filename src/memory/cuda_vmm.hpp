#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"

// Owners for CUDA's virtual memory management: physical allocations and the addresses they get.
namespace kvferry::cuda {

// A reference to a physical allocation. Mappings and exported fds keep the memory alive without it.
class Allocation {
 public:
  Allocation() noexcept = default;
  explicit Allocation(CUmemGenericAllocationHandle handle) noexcept
      : handle_(handle), owned_(true) {}
  Allocation(Allocation&& other) noexcept
      : handle_(other.handle_), owned_(std::exchange(other.owned_, false)) {}
  Allocation& operator=(Allocation&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~Allocation();
  CUmemGenericAllocationHandle get() const noexcept { return handle_; }

 private:
  CUmemGenericAllocationHandle handle_ = 0;
  bool owned_ = false;
};

// A range of device addresses with allocations mapped into it one after the other, from the start.
// Unmaps and gives the addresses back when destroyed.
class VmmRange {
 public:
  VmmRange() noexcept = default;
  // Requires: bytes is a multiple of alignment. Throws: Error{resource}.
  static VmmRange reserve(std::uint64_t bytes, std::uint64_t alignment);
  VmmRange(VmmRange&& other) noexcept
      : address_(std::exchange(other.address_, 0)),
        bytes_(std::exchange(other.bytes_, 0)),
        mapped_(std::exchange(other.mapped_, 0)),
        pieces_(std::move(other.pieces_)) {}
  VmmRange& operator=(VmmRange&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapped_, other.mapped_);
    std::swap(pieces_, other.pieces_);
    return *this;
  }
  ~VmmRange();

  // Maps `bytes` of an allocation behind what is mapped already.
  CUresult try_append(const Allocation& allocation, std::uint64_t bytes);
  // Lets a device read and write all that is mapped.
  CUresult try_allow(int device) noexcept;
  std::byte* base() const noexcept { return reinterpret_cast<std::byte*>(address_); }

 private:
  CUdeviceptr address_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t mapped_ = 0;
  std::vector<std::uint64_t> pieces_;  // what was mapped in one call must be unmapped in one
};

// Properties of a pinned allocation on `device` that can be exported as an fd.
CUmemAllocationProp exportable_properties(int device);
// Bytes that sizes of VMM allocations on `device` are multiples of. Throws: Error{resource}.
std::uint64_t vmm_granularity(int device, CUmemAllocationGranularity_flags which);
// Throws: Error{refused}.
UniqueFd export_fd(const Allocation& allocation);

}  // namespace kvferry::cuda
