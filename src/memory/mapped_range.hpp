#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
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

inline constexpr std::uint64_t kHugePage = 2ull << 20;

// Maps a file shared, at an address as far from a huge page's start as the offset is: only then can
// the kernel map huge pages of the file as such. Empty, with errno set, when it cannot.
MappedRange map_shared(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable);

}  // namespace kvferry::memory
