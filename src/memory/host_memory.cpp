#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kvferry/error.hpp"
#include "memory/available_memory.hpp"
#include "memory/mapped_range.hpp"
#include "memory/pool_impl.hpp"
#include "memory/prefault.hpp"

namespace kvferry::memory {

namespace {

std::uint64_t page_bytes() {
  static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

// Before anything is touched: the OOM killer gives no error to catch.
void check_room(std::uint64_t bytes) {
  const std::uint64_t need = bytes + bytes / 512 + kReserveBytes;
  const auto available = available_host_bytes();
  if (need < bytes || (available && *available < need)) {
    too_little(bytes, "not enough memory is free");
  }
  // ftruncate past this limit raises SIGXFSZ, which kills.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      limit.rlim_cur < bytes) {
    too_little(bytes, fmt::format("the file size limit (ulimit -f) of this process is {} bytes",
                                  limit.rlim_cur));
  }
}

class HostAllocation final : public Region {
 public:
  HostAllocation(std::uint64_t bytes, bool writable) {
    UniqueFd fd(::memfd_create("kvferry-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) too_little(bytes, fmt::format("memfd_create: {}", std::strerror(errno)));
    if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
      too_little(bytes, fmt::format("ftruncate: {}", std::strerror(errno)));
    }
    range_ = map_shared(fd.get(), 0, bytes, true);
    if (range_.address() == nullptr) {
      too_little(bytes, fmt::format("mmap: {}", std::strerror(errno)));
    }
    prefault(range_.address(), bytes);
    seal(fd.get(), writable);
    base_ = range_.address();
    bytes_ = bytes;
    chunks_.push_back({.kind = ChunkKind::memfd, .bytes = bytes});
    fds_.push_back(std::move(fd));
  }

 private:
  // After our own mapping: F_SEAL_FUTURE_WRITE leaves mappings that exist writable.
  static void seal(int fd, bool writable) {
    const int seals =
        F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (writable ? 0 : F_SEAL_FUTURE_WRITE);
    if (::fcntl(fd, F_ADD_SEALS, seals) != 0) {
      throw Error(ErrorCode::resource,
                  fmt::format("cannot seal shared memory: {}; kvferry needs Linux 5.1 or newer",
                              std::strerror(errno)));
    }
  }

  MappedRange range_;
};

class AttachedHost final : public Region {
 public:
  AttachedHost(std::byte* base, std::uint64_t bytes) {
    base_ = base;
    bytes_ = bytes;
    chunks_.push_back({.kind = ChunkKind::host_private,
                       .bytes = bytes,
                       .address = reinterpret_cast<std::uintptr_t>(base)});
  }
};

class HostMapping final : public Mapping {
 public:
  HostMapping() = default;  // private memory: nothing to map
  HostMapping(MappedRange range, std::uint64_t skip) : range_(std::move(range)) {
    base_ = range_.address() + skip;
  }

 private:
  MappedRange range_;
};

// After these checks nothing the peer does can make an access within [offset, offset + bytes)
// fault.
void check_memfd(int fd, const Chunk& chunk) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    throw Error(ErrorCode::refused,
                fmt::format("the peer's memory is not a memfd sealed against shrinking ({}): it "
                            "could be cut short under a reader",
                            seals < 0 ? std::strerror(errno) : "F_SEAL_SHRINK is not set"));
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    throw Error(ErrorCode::refused,
                fmt::format("fstat of the peer's memory: {}", std::strerror(errno)));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (chunk.bytes == 0 || chunk.offset > size || chunk.bytes > size - chunk.offset) {
    throw Error(ErrorCode::refused,
                fmt::format("the peer's memory holds {} bytes, but it offers {} bytes at offset {}",
                            size, chunk.bytes, chunk.offset));
  }
}

}  // namespace

std::shared_ptr<Region> allocate_host(std::uint64_t bytes, bool writable) {
  if (bytes == 0) throw Error(ErrorCode::invalid_argument, "cannot allocate 0 bytes");
  check_room(bytes);
  return std::make_shared<HostAllocation>(bytes, writable);
}

std::shared_ptr<Region> attach_host(std::byte* base, std::uint64_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (base == nullptr || bytes == 0 || address + bytes < address) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("cannot attach {} bytes at {}: not a range of addresses", bytes,
                            static_cast<const void*>(base)));
  }
  return std::make_shared<AttachedHost>(base, bytes);
}

std::unique_ptr<Mapping> map_host(const RegionOffer& region, std::span<const UniqueFd> fds,
                                  bool writable) {
  if (region.chunks.size() != 1 || region.chunks[0].bytes != region.bytes) {
    throw Error(ErrorCode::refused,
                fmt::format("the peer offers host memory of {} bytes in {} chunks; expected one "
                            "chunk of all bytes",
                            region.bytes, region.chunks.size()));
  }
  const Chunk& chunk = region.chunks[0];
  if (chunk.kind == ChunkKind::host_private) return std::make_unique<HostMapping>();
  if (chunk.kind != ChunkKind::memfd || fds.size() != 1 || !fds[0]) {
    throw Error(ErrorCode::refused,
                fmt::format("cannot map the peer's host memory: chunk kind {}, {} descriptors; "
                            "expected a memfd and one descriptor",
                            static_cast<int>(chunk.kind), fds.size()));
  }
  check_memfd(fds[0].get(), chunk);
  const std::uint64_t skip = chunk.offset % page_bytes();
  MappedRange range = map_shared(fds[0].get(), chunk.offset - skip, chunk.bytes + skip, writable);
  if (range.address() == nullptr) {
    const int error = errno;
    if (error == EPERM || error == EACCES) {
      throw Error(ErrorCode::refused, "the peer's memory is sealed against writing");
    }
    throw Error(ErrorCode::resource,
                fmt::format("cannot map {} bytes of the peer's memory: {}; check ulimit -v and "
                            "vm.max_map_count",
                            chunk.bytes, std::strerror(error)));
  }
  return std::make_unique<HostMapping>(std::move(range), skip);
}

}  // namespace kvferry::memory
