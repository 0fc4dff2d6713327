#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kvferry/error.hpp"
#include "kvferry/export.hpp"

namespace kvferry {

enum class Direction : std::uint8_t { pull = 0, push = 1 };
KVFERRY_API std::string_view to_string(Direction direction) noexcept;

// How GPU bytes are copied: by a kernel (needs SMs), by the copy engine (needs none), or whichever
// is faster.
enum class CopyMethod : std::uint8_t { automatic = 0, kernel = 1, engine = 2 };

// Layers [begin, end).
struct LayerRange {
  std::uint32_t begin = 0;
  std::uint32_t end = UINT32_MAX;  // clipped to the shape's layers
};

// A cudaStream_t of the caller's, on the local pool's device.
struct CudaStream {
  void* handle = nullptr;
};

struct TransferOptions {
  LayerRange layers{};
  // Started after the work already in this stream, and work put into it later starts after the
  // transfer. A failed transfer does not stop the stream: read Transfer::status_word().
  std::optional<CudaStream> stream{};
  // From the call, mapping a pool and opening connections included. Past it the transfer ends as
  // `deadline`; what had landed has landed.
  std::optional<std::chrono::nanoseconds> deadline{};
  // If set, the other side's Node gets this text (at most 4096 bytes) as a Notice once the transfer
  // is done.
  std::optional<std::string> notice{};
  std::string remote_pool{};  // empty: the pool of the same name
  std::string path = "auto";  // or a path's name: "cuda_ipc", "host_shm", "ucx", "tcp"
  bool allow_slow = false;    // accept a path that is slower than this hardware offers
  CopyMethod copy = CopyMethod::automatic;
  std::uint32_t max_sms = 0;       // at most so many SMs for the copy kernel; 0: as many as help
  std::uint64_t tag = 0;           // yours; comes back in the Completion
  bool notify_completion = false;  // put a Completion into the Node's queue when it ends
  // Of path tcp; others do not look at them:
  unsigned streams = 0;           // connections at once, at most 256; 0: NetworkOptions::streams
  bool checksum = false;          // a CRC-32C with every chunk, checked as it lands
  std::uint64_t bytes_per_s = 0;  // at most; 0: no limit
};

enum class TransferState : std::uint8_t {
  running = 0,
  done,
  failed,
  cancelled,
  deadline,
  peer_died
};
KVFERRY_API std::string_view to_string(TransferState state) noexcept;

// What a transfer did. Times in seconds.
struct TransferReport {
  std::string path;    // "cuda_ipc", "host_shm", "ucx", "tcp"
  std::string method;  // how it copied, e.g. "kernel tma, 24 SMs", "avx512 streaming, 2 threads"
  std::uint64_t bytes = 0;  // blocks * layers * block_bytes
  std::uint64_t blocks = 0;
  std::uint64_t layers = 0;
  std::uint64_t pieces = 0;  // contiguous rows copied, after merging neighbours
  // Bytes known to have landed: all of them where it is done; of one that ended early only path tcp
  // can tell.
  std::uint64_t landed = 0;
  double post_s = 0;   // call to posted
  double move_s = 0;   // posted to nothing more moving
  double sync_s = 0;   // nothing more moving to known here
  double total_s = 0;  // call to known here
};

namespace detail {
class TransferImpl;
}

// One asynchronous pull or push. A handle: copies share one transfer. Ends in exactly one terminal
// state, and once it has ended no more bytes land. Thread-safe.
class KVFERRY_API Transfer {
 public:
  // The state now, without blocking.
  TransferState poll() const;
  // Blocks until it has ended. Throws: the Error it ended with (cancelled, deadline, unreachable,
  // ...).
  const TransferReport& wait() const&;
  TransferReport wait() const&&;  // of a temporary: a copy
  // Blocks at most so long; true when it has ended (in whatever state).
  bool wait_for(std::chrono::nanoseconds timeout) const;
  // Asks it to end early. It ends as `cancelled`, or as `done` if it was too late.
  void cancel() const noexcept;
  // TransferOptions::notify_completion, asked for later, by whoever finds out that it has to wait:
  // puts a Completion with this tag into the Node's queue at the end. At most one comes: asked
  // again, the last tag counts. False where it has ended already; then none will come.
  bool notify_completion(std::uint64_t tag) const;
  // Requires: ended.
  const TransferReport& report() const&;
  TransferReport report() const&&;
  // Why it did not end as done; empty otherwise. Requires: ended.
  const std::string& error() const&;
  std::string error() const&&;
  // A 32-bit word readable by the host and the local GPU: 0 while good, an ErrorCode once it has
  // been aborted. nullptr where the path has none (host memory). Lives as long as this handle.
  const volatile std::uint32_t* status_word() const noexcept;

  explicit Transfer(std::shared_ptr<detail::TransferImpl> state) noexcept
      : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::TransferImpl> state_;
};

}  // namespace kvferry
