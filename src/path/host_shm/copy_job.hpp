#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "path/host_shm/chunks.hpp"
#include "path/host_shm/copy_threads.hpp"
#include "path/host_shm/piece_mover.hpp"
#include "path/path.hpp"

namespace kvferry::path::host {

// A plan being copied chunk by chunk on the copy threads. Thread-safe.
//
// Invariant: every chunk is counted in pending_ until it has run or is known never to run; the
// thread that takes the count to zero ends the job. Chunks are claimed by counting next_ up, and
// withdrawn by setting it to the end.
class CopyJob final : public Job, public CopyWork {
 public:
  struct Setup {
    std::shared_ptr<PieceMover> mover;
    Direction direction = Direction::pull;
    std::shared_ptr<CopyThreads> threads;  // started
    std::shared_ptr<JobObserver> observer;
  };
  CopyJob(plan::Plan plan, Setup setup);

  // Posts a job to its threads; a small one is copied before this returns, by the calling thread.
  static std::shared_ptr<CopyJob> start(plan::Plan plan, Setup setup);

  bool step() noexcept override;
  void abort(ErrorCode why) noexcept override;
  std::optional<JobResult> poll() override;
  bool wait_until(std::chrono::steady_clock::time_point until) override;
  std::string method() const override;

 private:
  void move_chunk(std::uint64_t chunk) noexcept;
  void fail(std::string error) noexcept;
  // Returns how many chunks will never run.
  std::uint64_t withdraw() noexcept;
  void settle(std::uint64_t chunks) noexcept;
  void end() noexcept;
  bool quiet() const noexcept { return quiet_.load(std::memory_order_acquire); }

  const Chunks chunks_;
  const std::shared_ptr<PieceMover> mover_;
  const Direction direction_;
  const std::shared_ptr<CopyThreads> threads_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> pending_;
  std::atomic<bool> quiet_{false};

  std::mutex mutex_;
  std::condition_variable ended_;
  JobResult result_;
  std::shared_ptr<JobObserver> observer_;
};

}  // namespace kvferry::path::host
