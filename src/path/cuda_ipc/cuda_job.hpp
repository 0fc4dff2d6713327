#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "memory/cuda_device.hpp"
#include "path/cuda_ipc/choose.hpp"
#include "path/cuda_ipc/cuda_engine_work.hpp"
#include "path/cuda_ipc/cuda_lane.hpp"
#include "path/cuda_ipc/engine_copies.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// A plan and how it is to be copied.
struct CudaCopy {
  plan::Plan plan;
  ChooseInput input;
  Choice choice;
  EngineCut cut = EngineCut::whole;
  std::optional<kernels::PackedCopy> packed;  // where it was prepared for a kernel
};

// One copy on a GPU. Whoever sees first that it has ended, a waiter or the lane's watcher, ends it:
// once. Thread-safe.
class CudaJob final : public Job, public std::enable_shared_from_this<CudaJob> {
 public:
  struct Setup {
    std::shared_ptr<Lane> lane;
    // One of the two. Where the copy is not prepared, its plan stays the caller's to use again,
    // unless the job is not yet all posted.
    CudaCopy* once = nullptr;
    std::shared_ptr<const CudaCopy> prepared;
    std::optional<CudaStream> stream;
    bool prompt = false;
    std::shared_ptr<JobObserver> observer;
  };
  // Posts it. Throws: Error{invalid_argument} (the stream), Error{resource}.
  static std::shared_ptr<CudaJob> start(Setup setup);
  // Nothing to move: quiet at once.
  static std::shared_ptr<CudaJob> start_empty(std::shared_ptr<Lane> lane,
                                              std::shared_ptr<JobObserver> observer);
  ~CudaJob() override;

  void abort(ErrorCode why) noexcept override;
  std::optional<JobResult> poll() override;
  bool wait_until(std::chrono::steady_clock::time_point until) override;
  void prompt() noexcept override;
  std::string method() const override;
  const volatile std::uint32_t* status_word() const noexcept override { return &words_->abort; }

  // For the watcher: posts more, or looks whether the copy has ended; when to look again, or
  // nothing where that is no longer needed.
  std::optional<std::chrono::steady_clock::time_point> look() noexcept;

  struct Key {};  // only start() makes jobs
  CudaJob(Key, std::shared_ptr<Lane> lane, std::shared_ptr<JobObserver> observer);

 private:
  using Clock = std::chrono::steady_clock;

  void post(Setup& setup);
  void post_engine(Setup& setup);
  void order_after_caller();
  void launch_kernel(const CudaCopy& copy);
  void seal();
  // False where the driver cannot have a stream write to memory.
  bool write_done_word() const noexcept;
  void watch(Clock::time_point from);
  void undo_post() noexcept;
  void drain() noexcept;
  // When the watcher is to look first; and at a copy whose end somebody is to be told of.
  Clock::time_point first_look(bool prompt) const noexcept;
  Clock::time_point next_look() const noexcept;
  // How long whoever looks may pause at that time, past the expected end.
  Clock::duration pause_at(Clock::time_point now) const noexcept;

  bool aborted() const noexcept;
  // All has landed, as the done word tells: asking the driver for the event takes 1.3 us a time,
  // and sees the end a microsecond later.
  bool landed() const noexcept;
  void end_landed();
  // Looks whether it has ended, and ends it then. Requires: all is posted.
  void check_end() noexcept;
  bool check_event() noexcept;
  CUresult query_event() noexcept;
  // False where the GPU has failed: then the job has ended.
  bool make_current(std::optional<cuda::DeviceGuard>& guard) noexcept;
  void gpu_failed(std::string error) noexcept;
  bool spin_until(Clock::time_point until);
  void finish_from_gpu();
  void fail(const std::string& why) noexcept;
  void finish(JobResult result);
  void return_slot() noexcept;

  const std::shared_ptr<Lane> lane_;
  std::unique_ptr<Slot> slot_;  // until its streams are known to be idle
  cudaEvent_t done_ = nullptr;  // the slot's
  kernels::Words* words_ = nullptr;
  std::optional<CudaStream> caller_;
  ChooseInput input_;
  std::optional<Choice> choice_;  // none: nothing to copy
  std::optional<EngineWork> work_;
  plan::Plan plan_;                           // what `work_` borrows, where it is ours,
  std::shared_ptr<const CudaCopy> prepared_;  // and where it is not
  bool posted_ = false;                       // something of ours may be in the slot's streams
  bool handshake_ = false;
  bool posting_ended_early_ = false;
  Clock::time_point posted_at_{};
  std::chrono::microseconds expected_{0};
  bool has_word_ = false;            // its end will be written to Words::done
  std::atomic<bool> sealed_{false};  // all is in the stream: its end can be asked for
  std::atomic<bool> over_{false};    // result_ is set
  std::shared_ptr<CudaJob> self_;    // while something of it may be in the slot's streams

  std::mutex mutex_;
  std::condition_variable ended_;
  bool recorded_ = false;  // `done_`, for this job
  bool broken_ = false;    // the GPU failed: it will not end by itself
  std::optional<JobResult> result_;
  std::shared_ptr<JobObserver> observer_;
};

}  // namespace kvferry::path
