#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kvferry/error.hpp"
#include "path/tcp/chunk.hpp"
#include "path/tcp/outgoing.hpp"
#include "path/tcp/packed_rows.hpp"

namespace kvferry::path::tcp {

class Incoming;

// A chunk on its way in. Without `of` its bytes are thrown away.
struct InChunk {
  std::shared_ptr<Incoming> of;
  ChunkHeader header;
  std::uint64_t left = 0;  // bytes still to come
  PieceBatch pieces;
  std::uint32_t crc32c = 0;  // of what has come, where it is checked
  std::unique_ptr<Staged> stage;
};

// One transfer's bytes on their way in, chunk by chunk, over as many streams as bring some.
// Thread-safe.
//
// It is over, exactly once, when everything has landed, or when it was stopped and nobody is
// writing: then nothing can land any more.
class Incoming : public std::enable_shared_from_this<Incoming> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Outcome {
    bool complete = false;
    std::uint64_t landed = 0;
    ErrorCode why = ErrorCode::failed;  // where it is not complete
    std::string error;
  };
  struct Setup {
    std::uint64_t bytes = 0;
    std::uint32_t chunk_bytes = 0;
    bool checked = false;
    std::optional<Clock::time_point> deadline;  // nothing is written later
    // After a pause, in which this process may have been stopped and told to stop this transfer,
    // nothing is written before this has called back: by then all that was said has been heard.
    // May be empty.
    std::function<void(std::function<void()>)> hear_first;
    std::function<void(const Outcome&)> on_over;
  };
  explicit Incoming(Setup setup);
  virtual ~Incoming() = default;
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  // A chunk begins: fills `chunk`, whose header is set. False: there is no room for it yet (a GPU's
  // stages are all in use); try again when told. Throws: Error{failed} for a chunk that this
  // transfer does not have, or has had.
  bool begin(InChunk& chunk);
  enum class Enter {
    write,  // leave() must follow at once
    drop,   // they go nowhere
    wait    // not now: `again` is called
  };
  // What to do with bytes that have come.
  Enter enter(const std::function<void()>& again) noexcept;
  void leave(std::uint64_t landed) noexcept;
  // All of its bytes have come.
  void end(InChunk& chunk) noexcept;
  // Nothing more is written. The first reason counts.
  void stop(ErrorCode why, std::string error) noexcept;

 protected:
  // Under the lock.
  virtual std::optional<PieceBatch> place_of(std::uint64_t offset, std::uint32_t bytes,
                                             std::unique_ptr<Staged>& stage) = 0;
  // Bytes come into a stage first, and are in the pool once that is unloaded.
  virtual bool is_staged() const noexcept { return false; }
  // Not under the lock. A stage is full: unloaded() must follow, from any thread.
  virtual void unload(InChunk&) noexcept {}
  void unloaded(std::uint64_t landed) noexcept;

 private:
  void settle(std::unique_lock<std::mutex>& lock) noexcept;
  void stop_locked(ErrorCode why, std::string error) noexcept;
  void check_place(const ChunkHeader& header) const;

  const Setup setup_;
  const std::uint64_t chunks_;
  std::mutex mutex_;
  std::vector<bool> begun_;
  std::uint64_t ended_ = 0;
  std::uint64_t landed_ = 0;
  std::uint32_t inside_ = 0;
  Clock::time_point last_entered_ = Clock::now();
  bool stopped_ = false;
  bool told_ = false;
  ErrorCode why_ = ErrorCode::failed;
  std::string error_;
};

// Straight into host memory. `keep` holds it.
class HostIncoming final : public Incoming {
 public:
  HostIncoming(Setup setup, std::shared_ptr<const PackedRows> rows, std::shared_ptr<void> keep)
      : Incoming(std::move(setup)), rows_(std::move(rows)), keep_(std::move(keep)) {}

 protected:
  std::optional<PieceBatch> place_of(std::uint64_t offset, std::uint32_t bytes,
                                     std::unique_ptr<Staged>&) override {
    return PieceBatch(RowCursor(*rows_, offset, bytes));
  }

 private:
  const std::shared_ptr<const PackedRows> rows_;
  const std::shared_ptr<void> keep_;
};

}  // namespace kvferry::path::tcp
