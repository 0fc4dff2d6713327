#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

namespace kvferry::memory {

// Owns one mmap.
class MappedRange {
 public:
  MappedRange() noexcept = default;
  MappedRange(void* address, std::size_t bytes) noexcept
      : address_(static_cast<std::byte*>(address)), bytes_(bytes) {}
  MappedRange(MappedRange&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedRange& operator=(MappedRange&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedRange() {
    if (address_ != nullptr) ::munmap(address_, bytes_);
  }

  std::byte* address() const noexcept { return address_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* address_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace kvferry::memory
