#include "memory/mapped_range.hpp"

#include <unistd.h>

#include <cerrno>

namespace kvferry::memory {

MappedRange map_shared(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable) {
  // Addresses first, wide enough to choose from; then the file over some of them.
  const std::uint64_t reserved = bytes + kHugePage;
  if (reserved < bytes) {
    errno = ENOMEM;
    return {};
  }
  void* all =
      ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return {};
  auto* const begin = static_cast<std::byte*>(all);
  const std::uint64_t skip = (offset - reinterpret_cast<std::uintptr_t>(begin)) % kHugePage;
  std::byte* const at = begin + skip;
  void* mapped = ::mmap(at, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                        MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) {
    const int error = errno;
    ::munmap(all, reserved);
    errno = error;
    return {};
  }
  // Both ends go back, whole pages: the last page of the file may be partly used.
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t used = (bytes + page - 1) / page * page;
  if (skip > 0) ::munmap(all, skip);
  if (skip + used < reserved) ::munmap(at + used, reserved - skip - used);
  return {mapped, bytes};
}

}  // namespace kvferry::memory
