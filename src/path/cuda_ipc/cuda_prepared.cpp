#include "path/cuda_ipc/cuda_prepared.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"

namespace kvferry::path {
namespace {

std::atomic_ref<std::uint32_t> atomic(std::uint32_t& word) {
  return std::atomic_ref<std::uint32_t>(word);
}

// A copy that was told to stop does within a millisecond, unless the GPU has failed.
constexpr auto kStops = std::chrono::seconds(2);

[[noreturn]] void refuse(const char* why) { throw Error(ErrorCode::invalid_argument, why); }

void check_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cuda::check(cudaStreamIsCapturing(stream, &status), "capture: no usable stream",
              ErrorCode::invalid_argument);
  if (status != cudaStreamCaptureStatusActive)
    refuse("capture: the stream is not being captured; begin with cudaStreamBeginCapture");
}

}  // namespace

CudaPrepared::CudaPrepared(std::shared_ptr<Lane> lane, std::shared_ptr<const CudaCopy> copy,
                           const JobOptions& options)
    : lane_(std::move(lane)), copy_(std::move(copy)), options_(options) {}

CudaPrepared::~CudaPrepared() {
  retire(ErrorCode::cancelled);
  // A launch of the graph may be queued behind other work, also one of a graph that was destroyed
  // since: it must find the word that stops it.
  if (slot_ != nullptr) lane_->park(std::move(slot_));
}

std::shared_ptr<Job> CudaPrepared::start(std::shared_ptr<JobObserver> observer,
                                         std::optional<std::chrono::steady_clock::time_point>) {
  if (copy_->plan.blocks == 0 || copy_->plan.planes == 0)
    return CudaJob::start_empty(lane_, std::move(observer));
  CudaJob::Setup setup;
  setup.lane = lane_;
  setup.prepared = copy_;
  setup.stream = options_.stream;
  setup.prompt = options_.prompt;
  setup.observer = std::move(observer);
  return CudaJob::start(std::move(setup));
}

void CudaPrepared::capture(CudaStream handle) {
  if (!copy_->packed)
    refuse(
        "capture: this copy is the copy engine's, or empty; prepare it with TransferOptions::copy "
        "= kernel");
  const auto stream = static_cast<cudaStream_t>(handle.handle);
  std::lock_guard lock(mutex_);
  // Also keeps what is allocated below out of the capture.
  const cuda::DeviceGuard guard(lane_->device());
  check_capturing(stream);
  if (slot_ == nullptr) {
    auto slot = lane_->take_slot();
    words_ = lane_->take_words();
    slot_ = std::move(slot);
  }
  kernels::Control control;
  control.words = words_;
  control.relay = reinterpret_cast<std::uint32_t*>(slot_->relay.data());
  control.ticket = slot_->next_tickets(copy_->packed->launches());
  control.handshake = true;
  cuda::check(cudaMemsetAsync(control.relay, 0, sizeof(std::uint32_t), stream),
              "capture: cannot clear the relay");
  cuda::check(static_cast<cudaError_t>(copy_->packed->start(control, stream)),
              "capture: cannot add the copy kernel");
  cuda::check(cudaMemsetAsync(&words_->started, 0, sizeof(std::uint32_t), stream),
              "capture: cannot mark the end");
}

void CudaPrepared::retire(ErrorCode why) noexcept {
  std::lock_guard lock(mutex_);
  if (words_ == nullptr) return;
  std::uint32_t good = 0;
  atomic(words_->abort).compare_exchange_strong(good, static_cast<std::uint32_t>(why));
  // The host's half of the handshake: a kernel that has not begun will see the word above; one that
  // has, stops soon, and the clear after it says so.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const auto give_up = std::chrono::steady_clock::now() + kStops;
  while (atomic(words_->started).load() != 0 && std::chrono::steady_clock::now() < give_up)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

const volatile std::uint32_t* CudaPrepared::status_word() const noexcept {
  std::lock_guard lock(mutex_);
  return words_ == nullptr ? nullptr : &words_->abort;
}

}  // namespace kvferry::path
