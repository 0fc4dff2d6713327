#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/pool.hpp"

namespace kvferry::memory {

using RegionId = std::array<std::byte, 16>;   // random; names a region across processes
using GpuUuid = std::array<std::byte, 16>;    // cudaDeviceProp::uuid
using IpcHandle = std::array<std::byte, 64>;  // cudaIpcMemHandle_t

enum class ChunkKind : std::uint8_t {
  memfd = 0,         // host memory behind an fd
  host_private = 1,  // host memory with no fd: process_vm_readv/writev
  vmm_fd = 2,        // CUDA VMM allocation behind an fd
  cuda_ipc = 3,      // legacy CUDA IPC handle
};
inline constexpr bool has_fd(ChunkKind kind) {
  return kind == ChunkKind::memfd || kind == ChunkKind::vmm_fd;
}
inline constexpr bool is_cuda(ChunkKind kind) {
  return kind == ChunkKind::vmm_fd || kind == ChunkKind::cuda_ipc;
}

// One export handle: `bytes` of an allocation, seen from `offset` within it.
struct Chunk {
  ChunkKind kind = ChunkKind::memfd;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;   // into the fd (memfd) or the allocation (VMM, IPC)
  std::uint64_t address = 0;  // host_private: where it is in the owner
  IpcHandle ipc{};            // cuda_ipc
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// Registered memory: one contiguous range of addresses in its owner, and how others reach it. Owns
// what must be kept open for export (fds; the VMM handles), and the memory itself where we
// allocated it. Immutable after construction.
class Region {
 public:
  virtual ~Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  const RegionId& id() const noexcept { return id_; }
  std::byte* base() const noexcept { return base_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  Device device() const noexcept { return device_; }
  const GpuUuid& gpu() const noexcept { return gpu_; }
  const std::vector<Chunk>& chunks() const noexcept { return chunks_; }
  // Of every chunk that has one, in order; borrowed from the region.
  const std::vector<UniqueFd>& fds() const noexcept { return fds_; }

 protected:
  Region();  // draws the id
  RegionId id_{};
  std::byte* base_ = nullptr;
  std::uint64_t bytes_ = 0;
  Device device_;
  GpuUuid gpu_{};
  std::vector<Chunk> chunks_;
  std::vector<UniqueFd> fds_;
};

// A region as its owner describes it to a peer. The fds travel beside it, one for each chunk that
// has_fd, in order.
struct RegionOffer {
  RegionId id{};
  std::uint64_t bytes = 0;
  GpuUuid gpu{};
  std::vector<Chunk> chunks;  // all of one kind
  friend bool operator==(const RegionOffer&, const RegionOffer&) = default;
};
RegionOffer offer(const Region& region);

// A peer's region made addressable here. Unmaps when destroyed.
class Mapping {
 public:
  virtual ~Mapping() = default;
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  // Address in this process (device address for GPU memory). Null for host_private: there is none.
  std::byte* base() const noexcept { return base_; }

 protected:
  std::byte* base_ = nullptr;
};

// Regions of this process by id, so that two pools of one process meet without IPC (CUDA refuses to
// open its own handles). Weak: keeps nothing alive. Process-wide because the CUDA rule is; the only
// such table.
void remember_local(const std::shared_ptr<Region>& region);
std::shared_ptr<Region> find_local(const RegionId& id);

}  // namespace kvferry::memory
