#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace kvferry::path {

// Host memory pinned and mapped for every GPU of this process. Whoever holds it must also keep the
// memory mapped; several routes into one pool share one registration.
class HostPin {
 public:
  // Memory that its owner has pinned already (cudaHostAlloc, cudaHostRegister) is taken as it is.
  // Throws: Error{refused} with the reason where the memory cannot be pinned.
  static HostPin pin(std::byte* base, std::uint64_t bytes, bool read_only);
  HostPin(HostPin&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), device_address_(other.device_address_) {}
  HostPin& operator=(HostPin&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(device_address_, other.device_address_);
    return *this;
  }
  ~HostPin();

  // Where GPUs see the first byte.
  std::uint64_t device_address() const noexcept { return device_address_; }

 private:
  HostPin(std::byte* base, std::uint64_t device_address) noexcept
      : base_(base), device_address_(device_address) {}

  std::byte* base_ = nullptr;
  std::uint64_t device_address_ = 0;
};

}  // namespace kvferry::path
