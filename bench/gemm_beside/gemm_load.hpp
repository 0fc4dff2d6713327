#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "gemm_beside/cublas.hpp"
#include "memory/cuda_handles.hpp"

namespace gemm_beside {

using Clock = std::chrono::steady_clock;

struct GemmTimes {
  std::vector<double> each_ms;   // of every GEMM, on the GPU's clock
  double mean_ms = 0;            // of all of them together, gaps included
  Clock::time_point begin, end;  // GEMMs ran without a pause in between; on the host's clock
};

// An event that can be timed, unlike kvferry::cuda::Event. Made with its device current.
class TimedEvent {
 public:
  TimedEvent() { kvferry::cuda::check(cudaEventCreate(&event_), "cannot create an event"); }
  TimedEvent(TimedEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  TimedEvent& operator=(TimedEvent&&) = delete;
  ~TimedEvent() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  cudaEvent_t get() const noexcept { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Square bf16 matrices on one device and a stream to multiply them in. One thread, which has that
// device current as long as this lives.
class GemmLoad {
 public:
  // The matrices are random (normal): zeros would take less power and run at higher clocks. One
  // element of the product is compared with the host's. Throws: Error{resource}, Error{failed} when
  // the product is wrong.
  GemmLoad(const Cublas& cublas, int size, std::uint64_t seed);
  ~GemmLoad();
  GemmLoad(const GemmLoad&) = delete;
  GemmLoad& operator=(const GemmLoad&) = delete;

  double flops() const noexcept;  // of one GEMM
  std::string cublas_version() const { return cublas_.version(handle_); }
  // `warm` GEMMs, then `count` timed ones, back to back. Returns when the last has ended.
  GemmTimes run(unsigned count, unsigned warm);

 private:
  void compare_one(const std::vector<std::uint16_t>& a, const std::vector<std::uint16_t>& b);
  void record(const TimedEvent& event);

  const Cublas& cublas_;
  int size_;
  kvferry::cuda::Stream stream_;
  kvferry::cuda::DeviceBuffer a_, b_, c_, workspace_;
  Cublas::Handle handle_ = nullptr;
  std::vector<TimedEvent> events_;
};

}  // namespace gemm_beside
