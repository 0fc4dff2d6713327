#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kvferry/pool.hpp"
#include "memory/region.hpp"
#include "plan/plan.hpp"

namespace kvferry::memory {

// Where plane p starts: an offset into a region.
struct PlaneRef {
  std::uint32_t region = 0;
  std::uint64_t offset = 0;
  friend bool operator==(const PlaneRef&, const PlaneRef&) = default;
};

// A pool as its owner describes it to a peer: everything but the fds. Planes evenly spaced in one
// region travel as {first, stride}; the wire says which.
struct PoolOffer {
  std::uint32_t pool = 0;  // the owner's number for it on this connection
  std::uint64_t generation = 0;
  std::uint32_t parts = 1;
  std::uint64_t block_stride = 0;
  std::vector<PlaneRef> planes;  // layers * parts
  std::vector<RegionOffer> regions;
  friend bool operator==(const PoolOffer&, const PoolOffer&) = default;
};

}  // namespace kvferry::memory

namespace kvferry::detail {

// What a Pool handle points to. Immutable but for the generation and the revokers.
class PoolImpl {
 public:
  PoolOptions options;
  CacheShape shape;
  std::uint32_t blocks = 0;
  std::uint32_t parts = 1;
  std::uint64_t block_stride = 0;
  Device device;
  std::vector<memory::PlaneRef> planes;  // layers * parts
  // Members are destroyed last to first: the caller's memory is released after the regions.
  std::shared_ptr<void> keep_alive;
  std::vector<std::shared_ptr<memory::Region>> regions;
  std::atomic<std::uint64_t> generation{1};
  std::mutex revoking;  // held by Pool::revoke

  // Local addresses of every plane.
  plan::BlockMap block_map() const;

  // Nodes that serve this pool add themselves here; revoke() calls each (outside the lock) with the
  // time it has.
  using Revoker = std::function<void(std::chrono::milliseconds)>;
  std::uint64_t add_revoker(Revoker revoker);
  void remove_revoker(std::uint64_t key) noexcept;
  // Takes them off the list. One that fails is put back under its key: the pool is still held, and
  // a second revoke() must not say otherwise.
  std::vector<std::pair<std::uint64_t, Revoker>> take_revokers();
  void put_back_revoker(std::uint64_t key, Revoker revoker);

 private:
  std::mutex mutex_;
  std::uint64_t next_key_ = 1;
  std::vector<std::pair<std::uint64_t, Revoker>> revokers_;
};

}  // namespace kvferry::detail

namespace kvferry::memory {

// Allocate and attach, per kind. Each returns one Region with everything needed for export.
// host_memory.cpp:
// `allocate_host` maps a sealed, prefaulted memfd; when !writable, adds F_SEAL_FUTURE_WRITE so that
// no importer can map it for writing. Throws: Error{resource}.
std::shared_ptr<Region> allocate_host(std::uint64_t bytes, bool writable);
// The caller's private memory. Throws: Error{invalid_argument}.
std::shared_ptr<Region> attach_host(std::byte* base, std::uint64_t bytes);
// Maps a peer's memfd, after checking its size and seals (a peer that could shrink it could kill us
// by SIGBUS). Throws: Error{refused}.
std::unique_ptr<Mapping> map_host(const RegionOffer& region, std::span<const UniqueFd> fds,
                                  bool writable);

// cuda_memory.cpp (cuda_memory_none.cpp in a build without CUDA, where each throws
// Error{resource}):
std::shared_ptr<Region> allocate_cuda(int device, std::uint64_t bytes);
// The allocation(s) a device pointer range lies in: cudaMalloc (legacy IPC handle of the whole
// allocation) or VMM chunks (fds). Throws: Error{refused} for memory that cannot be shared, naming
// the reason.
std::shared_ptr<Region> attach_cuda(std::byte* base, std::uint64_t bytes);
// The device a pointer belongs to; nullopt: host memory.
std::optional<int> device_of(const void* pointer);
// Maps a peer's GPU memory so that `device` of ours can reach it. Throws: Error{refused} (no peer
// access), Error{resource}.
std::unique_ptr<Mapping> map_cuda(const RegionOffer& region, std::span<const UniqueFd> fds,
                                  int device);
// The ordinal of a visible device with this UUID.
std::optional<int> find_device(const GpuUuid& gpu);
GpuUuid device_uuid(int device);

}  // namespace kvferry::memory
