#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "path/tcp/chunk.hpp"
#include "path/tcp/packed_rows.hpp"
#include "path/tcp/rate_limit.hpp"

namespace kvferry::path::tcp {

class Outgoing;

// Memory that bytes rest in between a GPU and a socket. Given back when destroyed.
class Staged {
 public:
  virtual ~Staged() = default;
};

// A chunk on its way out: whoever holds one reads the pool, or a stage.
struct OutChunk {
  std::shared_ptr<Outgoing> of;
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  PieceBatch pieces;
  std::unique_ptr<Staged> stage;
};

// One transfer's bytes on their way out, chunk by chunk, over as many streams as take some.
// Thread-safe.
//
// It is quiet once no more chunks will be taken and none is under way: then nothing reads the pool.
class Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Setup {
    std::uint32_t request = 0;
    bool answers = false;  // a peer's pull; else a push of our own
    std::uint64_t bytes = 0;
    std::uint32_t chunk_bytes = 0;
    bool checked = false;
    std::uint32_t max_streams = 0;                   // at once; 0: all
    std::vector<std::shared_ptr<RateLimit>> limits;  // may hold null
    // Called once, from any thread, when it is quiet: why it stopped by itself, where it did.
    std::function<void(const std::string& error)> on_quiet;
  };
  explicit Outgoing(Setup setup) : setup_(std::move(setup)) {}
  virtual ~Outgoing() = default;
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  const Setup& setup() const noexcept { return setup_; }
  // Whether its bytes go through stages, which may be filled before a stream asks.
  virtual bool is_staged() const noexcept { return false; }

  enum class Next {
    chunk,
    later,  // ask again when told, or at `when`
    none    // never again
  };
  Next next(OutChunk& chunk, Clock::time_point& when);
  // Chunks will be asked for soon: what can be made ready of them is, from now on.
  void prepare() noexcept;
  // All of it is in a socket's buffer; or it was given up, and with it the transfer.
  void finished(OutChunk& chunk, bool sent) noexcept;
  // No more chunks are taken.
  void stop() noexcept;
  bool stopped() const noexcept;
  std::uint64_t bytes_sent() const noexcept;

 protected:
  // All of these under the lock. Whether the next chunk's bytes are to be had now.
  virtual bool is_ready() { return true; }
  virtual void go_ahead() {}
  // It was stopped: chunks that were made ready will not be asked for.
  virtual void forget_ahead() noexcept {}
  // A chunk is being made ready, which reads the pool; and it is, which is told without the lock.
  void begin_ahead() noexcept { ++under_way_; }
  void end_ahead_within() noexcept { --under_way_; }
  void end_ahead() noexcept;
  void stop_within(std::string error) noexcept;
  // The bytes of a chunk, or nothing while they are not to be had yet.
  virtual std::optional<PieceBatch> pieces_of(std::uint64_t offset, std::uint32_t bytes,
                                              std::unique_ptr<Staged>& stage) = 0;

 private:
  bool over() const noexcept { return stopped_ || next_offset_ == setup_.bytes; }
  void settle(std::unique_lock<std::mutex>& lock) noexcept;

  const Setup setup_;
  mutable std::mutex mutex_;
  std::uint64_t next_offset_ = 0;
  std::uint64_t sent_ = 0;
  std::uint32_t under_way_ = 0;
  std::uint32_t on_streams_ = 0;
  std::string error_;
  bool stopped_ = false;
  bool told_ = false;
};

// Straight from host memory. `keep` holds it.
class HostOutgoing final : public Outgoing {
 public:
  HostOutgoing(Setup setup, std::shared_ptr<const PackedRows> rows, std::shared_ptr<void> keep)
      : Outgoing(std::move(setup)), rows_(std::move(rows)), keep_(std::move(keep)) {}

 protected:
  std::optional<PieceBatch> pieces_of(std::uint64_t offset, std::uint32_t bytes,
                                      std::unique_ptr<Staged>&) override {
    return PieceBatch(RowCursor(*rows_, offset, bytes));
  }

 private:
  const std::shared_ptr<const PackedRows> rows_;
  const std::shared_ptr<void> keep_;
};

// The checksum of what a batch still holds.
std::uint32_t checksum_of(PieceBatch pieces) noexcept;

}  // namespace kvferry::path::tcp
