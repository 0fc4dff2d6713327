#pragma once

#include <atomic>
#include <deque>
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
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {

class Stages;

// One stage: pinned memory, and a stream on which a kernel fills or empties it. Exclusive to who
// took it, and given back when destroyed.
class Stage final : public Staged {
 public:
  Stage(std::shared_ptr<Stages> of, cuda::PinnedBuffer memory, std::unique_ptr<Slot> slot,
        kernels::Words* words);
  ~Stage() override;
  std::byte* data() const noexcept { return memory_.data(); }
  // Packs or scatters a range of the stream; `done` is called on the thread that watches, with
  // whether it worked. Throws: Error{resource}: nothing was started, and it is not called.
  void copy(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes, bool pack,
            std::uint32_t max_sms, std::function<void(bool)> done);

 private:
  friend class Stages;
  const std::shared_ptr<Stages> of_;
  cuda::PinnedBuffer memory_;
  std::unique_ptr<Slot> slot_;
  kernels::Words* words_;
};

// The stages of one GPU.
class Stages final : public std::enable_shared_from_this<Stages> {
 public:
  Stages(int device, std::shared_ptr<NetThreads> threads);
  ~Stages();
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  // Nothing while all are in use: then `kick` is called once when one is free. Throws:
  // Error{resource}.
  std::unique_ptr<Stage> take(const std::function<void()>& kick);
  Lane& lane() const noexcept { return *lane_; }

 private:
  friend class Stage;
  struct Rest {
    cuda::PinnedBuffer memory;
    std::unique_ptr<Slot> slot;
    kernels::Words* words = nullptr;
  };
  void give_back(Rest rest) noexcept;

  const std::shared_ptr<Lane> lane_;
  const std::shared_ptr<NetThreads> threads_;
  std::mutex mutex_;
  unsigned made_ = 0;
  std::vector<Rest> free_;
  std::deque<std::function<void()>> waiting_;
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
