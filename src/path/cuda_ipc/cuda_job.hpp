#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "path/cuda_ipc/choose.hpp"
#include "path/cuda_ipc/cuda_engine_work.hpp"
#include "path/cuda_ipc/cuda_lane.hpp"
#include "path/cuda_ipc/engine_copies.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// One copy on a GPU. Whoever sees first that it has ended, a waiter by the event or CUDA by its
// callback, ends it: once. Thread-safe.
class CudaJob final : public Job, public std::enable_shared_from_this<CudaJob> {
 public:
  struct Setup {
    std::shared_ptr<Lane> lane;
    plan::Plan plan;
    ChooseInput input;
    Choice choice;
    EngineCut cut = EngineCut::whole;
    std::optional<CudaStream> stream;
    std::function<void()> quiet;
  };
  // Posts it. Throws: Error{invalid_argument} (the stream), Error{resource}.
  static std::shared_ptr<CudaJob> start(Setup setup);
  // Nothing to move: quiet at once.
  static std::shared_ptr<CudaJob> start_empty(std::shared_ptr<Lane> lane,
                                              std::function<void()> quiet);
  ~CudaJob() override;

  void abort(ErrorCode why) noexcept override;
  std::optional<JobResult> poll() override;
  bool wait_until(std::chrono::steady_clock::time_point until) override;
  std::string method() const override { return method_; }
  const volatile std::uint32_t* status_word() const noexcept override { return &words_->abort; }

  // For the poster: another batch of engine copies, if it is time.
  enum class Progress : std::uint8_t { waiting, posted, all_posted };
  Progress post_more() noexcept;

  struct Key {};  // only start() makes jobs
  CudaJob(Key, std::shared_ptr<Lane> lane, std::function<void()> quiet);

 private:
  void post(Setup& setup);
  void order_after_caller();
  void launch_kernel(const Setup& setup);
  void seal();
  void undo_post() noexcept;
  void drain() noexcept;
  static void CUDART_CB on_done(void* job);

  bool aborted() const noexcept;
  bool check_event();
  bool spin_until(std::chrono::steady_clock::time_point until);
  void finish_from_gpu();
  void fail(const std::string& why) noexcept;
  void finish(JobResult result);

  const std::shared_ptr<Lane> lane_;
  std::unique_ptr<Slot> slot_;  // until CUDA's callback gives it back
  cudaEvent_t done_ = nullptr;  // the slot's
  kernels::Words* words_ = nullptr;
  std::optional<CudaStream> caller_;
  std::optional<EngineWork> work_;
  bool posted_ = false;  // something of ours may be in the slot's streams
  bool handshake_ = false;
  bool posting_ended_early_ = false;
  std::string method_;
  std::chrono::steady_clock::time_point posted_at_{};
  std::chrono::microseconds expected_{0};
  std::atomic<bool> sealed_{false};  // `done_` has been recorded: it can be asked
  std::shared_ptr<CudaJob> self_;    // while CUDA's callback is to come

  std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<JobResult> result_;
  std::function<void()> quiet_;
};

}  // namespace kvferry::path
