#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "memory/cuda_handles.hpp"
#include "path/cuda_ipc/cuda_lane.hpp"
#include "path/tcp/cuda_stage_watch.hpp"
#include "path/tcp/net_threads.hpp"
#include "path/tcp/packed_rows.hpp"
#include "path/tcp/stage_queue.hpp"
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {

class Stages;

// One stage: pinned memory that a kernel fills or empties. Exclusive to who took it, and given back
// when destroyed.
class Stage final : public Staged {
 public:
  struct Parts {
    cuda::PinnedBuffer memory;
    kernels::Words* words = nullptr;
  };
  Stage(std::shared_ptr<Stages> of, StageUse use, const void* holder, Parts parts)
      : of_(std::move(of)), use_(use), holder_(holder), parts_(std::move(parts)) {}
  ~Stage() override;
  std::byte* data() const noexcept { return parts_.memory.data(); }
  // Makes what it has not been given. Throws: Error{resource}.
  void complete();
  // Packs or scatters a range of the stream; `done` is called on the thread that watches, with
  // whether it worked. Throws: Error{resource}: nothing was started, and it is not called.
  void copy(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes, bool pack,
            std::uint32_t max_sms, std::function<void(bool)> done);

 private:
  const std::shared_ptr<Stages> of_;
  const StageUse use_;
  const void* const holder_;
  Parts parts_;
};

// A stream on which the copies of stages follow one another.
struct CopyQueue {
  std::mutex mutex;  // held while one is launched
  std::unique_ptr<Slot> slot;
};
// Of these for each direction, in turn. Two or three copies at once hide each other's beginnings
// and ends; a stream for each stage gave 25 GB/s by eight streams where four give 27 (one H200).
inline constexpr unsigned kCopyQueues = 4;

// The stages of one GPU.
class Stages final : public std::enable_shared_from_this<Stages> {
 public:
  Stages(int device, std::shared_ptr<NetThreads> threads);
  ~Stages();
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  // Nothing while there is none for this use and holder (StageQueue): then `kick` is called once
  // when one is given back. Throws: Error{resource}.
  std::unique_ptr<Stage> take(StageUse use, const void* holder, const std::function<void()>& kick);
  Lane& lane() const noexcept { return *lane_; }

 private:
  friend class Stage;
  using Queues = std::array<CopyQueue, kCopyQueues>;
  CopyQueue& next_queue(bool pack) noexcept;
  // Tells those who wait, not here but on a thread of its own: whoever gives back may hold locks
  // that the other one's link wants.
  void give_back(StageUse use, const void* holder, Stage::Parts parts) noexcept;

  const std::shared_ptr<Lane> lane_;
  const std::shared_ptr<NetThreads> threads_;
  std::mutex mutex_;
  StageQueue queue_{kMostStages};
  std::vector<Stage::Parts> free_;
  Queues packing_, scattering_;
  std::atomic<unsigned> packs_ = 0, scatters_ = 0;
  StageWatch watch_;
};

class StagePools {
 public:
  explicit StagePools(std::shared_ptr<NetThreads> threads) : threads_(std::move(threads)) {}
  // Throws: Error{refused}, Error{resource}.
  std::shared_ptr<Stages> of(int device);

 private:
  const std::shared_ptr<NetThreads> threads_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<Stages>> stages_;
};

}  // namespace kvferry::path::tcp
