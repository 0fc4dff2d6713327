#pragma once

#include <memory>
#include <mutex>

#include "path/cuda_ipc/cuda_job.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// A plan whose copy method is chosen and whose kernel parameters are laid out. Thread-safe.
//
// In a CUDA graph the copy is a kernel between two small clears: of its relay, which the replay
// before has used, and, after it, of `started`, so that the host knows whether one is running.
class CudaPrepared final : public PreparedCopy {
 public:
  CudaPrepared(std::shared_ptr<Lane> lane, std::shared_ptr<const CudaCopy> copy,
               const JobOptions& options);
  // Requires: graphs that captured it are launched no more.
  ~CudaPrepared() override;

  std::shared_ptr<Job> start(
      std::shared_ptr<JobObserver> observer,
      std::optional<std::chrono::steady_clock::time_point> deadline) override;
  // Throws: Error{invalid_argument}: the stream is not being captured, or the copy is one of the
  // engine (a graph's copies could not be stopped) or empty.
  void capture(CudaStream stream) override;
  void retire(ErrorCode why) noexcept override;
  const volatile std::uint32_t* status_word() const noexcept override;

 private:
  const std::shared_ptr<Lane> lane_;
  const std::shared_ptr<const CudaCopy> copy_;
  const JobOptions options_;
  mutable std::mutex mutex_;
  // What captured copies share with the host; from the first capture on.
  kernels::Words* words_ = nullptr;
  std::unique_ptr<Slot> slot_;  // for its relay
};

}  // namespace kvferry::path
