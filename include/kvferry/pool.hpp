#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/export.hpp"
#include "kvferry/shape.hpp"

namespace kvferry {

// Where memory lives: the host, or a CUDA device by its ordinal in this process.
struct KVFERRY_API Device {
  enum class Kind : std::uint8_t { host, cuda };
  Kind kind = Kind::host;
  int ordinal = 0;

  static Device host() noexcept { return {}; }
  static Device cuda(int ordinal) noexcept { return {Kind::cuda, ordinal}; }
  bool is_cuda() const noexcept { return kind == Kind::cuda; }
  std::string to_string() const;  // "host", "cuda:0"
  friend bool operator==(const Device&, const Device&) = default;
};

// CUDA devices this process can use: 0 where there is no driver, no GPU, or a build without CUDA
// (then `why`, if given, says which).
KVFERRY_API int cuda_device_count(std::string* why = nullptr) noexcept;

struct PoolOptions {
  std::string name = "kv";  // peers pair pools by name; at most 64 bytes of [A-Za-z0-9._-]
  std::string tag{};        // any short text for the other side to see, at most 256 bytes
  // Peers may push into it. Where a pool is not writable, host memory is sealed against it; CUDA
  // cannot enforce it on an importer, so there it is a promise that a well-behaved kvferry peer
  // keeps.
  bool writable = false;
};

// A caller's own layer tensors.
struct AttachOptions {
  CacheShape shape{};
  std::uint32_t blocks = 0;
  // One address a layer (a block's keys and values adjacent), or layers * kv addresses where keys
  // and values are separate tensors: layer 0 K, layer 0 V, layer 1 K, ... All on one device. Any
  // alignment.
  std::vector<void*> bases{};
  // Bytes from one block to the next within a layer tensor; 0: dense. At least one block (or one
  // half, where K and V are apart).
  std::uint64_t block_stride = 0;
  PoolOptions options{};
  // Released when nothing can touch the memory any more.
  std::shared_ptr<void> keep_alive{};
};

namespace detail {
class PoolImpl;
}

// A KV cache's memory: `layers` tensors of `blocks` blocks on one device, allocated by us or
// attached.
//
// A handle: copies share one pool, whose memory lives until the last handle, and the last Node that
// serves it, is gone. Thread-safe: all const members. The bytes themselves are the caller's to
// synchronise: a peer reads what is visible when it pulls.
class KVFERRY_API Pool {
 public:
  // Memory of ours, exportable: host: a prefaulted memfd; CUDA: a VMM allocation with a POSIX-fd
  // handle. Not cleared on CUDA. Throws: Error{invalid_argument} (shape, zero blocks, name),
  // Error{resource} (too little memory, no such GPU).
  static Pool allocate(Device device, const CacheShape& shape, std::uint32_t blocks,
                       const PoolOptions& options = {});
  // The caller's memory: one allocation or many, sub-allocations, VMM ranges of several chunks,
  // host memory. Private host memory can only be read and written by process_vm_readv/writev:
  // slower than a pool allocated here. Throws: Error{invalid_argument} (bases, stride, overlap),
  // Error{refused} where the memory cannot be shared, with the reason.
  static Pool attach(const AttachOptions& options);

  const std::string& name() const noexcept;
  const std::string& tag() const noexcept;
  const CacheShape& shape() const noexcept;
  std::uint32_t blocks() const noexcept;
  Device device() const noexcept;
  bool writable() const noexcept;
  // Counts the revocations; starts at 1.
  std::uint64_t generation() const noexcept;
  // Address of block 0 of a layer; where keys and values are apart (kv_parts() == 2), of part 0 (K)
  // or 1 (V). Throws: Error{invalid_argument} when out of range.
  void* layer(std::uint32_t layer, std::uint32_t part = 0) const;
  // 1: a block's keys and values are adjacent; 2: they lie in tensors of their own.
  std::uint32_t kv_parts() const noexcept;
  // Bytes from one block to the next.
  std::uint64_t block_stride() const noexcept;

  // Withdraws the pool from every node that serves it: refuses new transfers on this generation,
  // tells importers to drain and unmap, and returns when none can touch the memory any more. Add it
  // to a node again to serve it again. Throws: Error{deadline} naming the peers that still hold it
  // after `timeout`: the memory must not be freed then.
  void revoke(std::chrono::milliseconds timeout = std::chrono::seconds(5));

  const std::shared_ptr<detail::PoolImpl>& state() const noexcept { return state_; }

 private:
  explicit Pool(std::shared_ptr<detail::PoolImpl> state) noexcept : state_(std::move(state)) {}
  std::shared_ptr<detail::PoolImpl> state_;
};

}  // namespace kvferry
