#include "path/cuda_ipc/cuda_job.hpp"

#include <fmt/format.h>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "path/cuda_ipc/cuda_engine_poster.hpp"

namespace kvferry::path {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic_ref<std::uint32_t> atomic(std::uint32_t& word) {
  return std::atomic_ref<std::uint32_t>(word);
}

}  // namespace

CudaJob::CudaJob(Key, std::shared_ptr<Lane> lane, std::function<void()> quiet)
    : lane_(std::move(lane)), quiet_(std::move(quiet)) {
  words_ = lane_->take_words();
}

CudaJob::~CudaJob() {
  if (slot_ != nullptr && posted_) {
    // Posting failed half way. The stream may still hold work that reads the words.
    try {
      const cuda::DeviceGuard guard(lane_->device());
      slot_.reset();
    } catch (const Error&) {
    }
    return;
  }
  if (slot_ != nullptr) lane_->give_back(std::move(slot_));
  lane_->give_back(words_);
}

std::shared_ptr<CudaJob> CudaJob::start_empty(std::shared_ptr<Lane> lane,
                                              std::function<void()> quiet) {
  auto job = std::make_shared<CudaJob>(Key{}, std::move(lane), std::move(quiet));
  job->method_ = "nothing to copy";
  JobResult result;
  result.moved_all = true;
  job->finish(std::move(result));
  return job;
}

std::shared_ptr<CudaJob> CudaJob::start(Setup setup) {
  auto job = std::make_shared<CudaJob>(Key{}, setup.lane, std::move(setup.quiet));
  job->slot_ = job->lane_->take_slot();
  job->done_ = job->slot_->done.get();
  job->caller_ = setup.stream;
  job->expected_ = std::chrono::microseconds(static_cast<std::int64_t>(setup.choice.expected_us));
  const cuda::DeviceGuard guard(job->lane_->device());
  try {
    job->post(setup);
  } catch (...) {
    job->undo_post();
    throw;
  }
  job->method_ = describe(setup.choice, setup.input);  // once the copy is under way
  return job;
}

void CudaJob::post(Setup& setup) {
  if (caller_) order_after_caller();
  posted_ = true;
  posted_at_ = Clock::now();
  if (!setup.choice.engine) {
    launch_kernel(setup);
    seal();
    return;
  }
  work_.emplace(std::move(setup.plan), setup.cut, setup.choice.streams, setup.input.link);
  bool more = work_->post_batch(*slot_);
  // The caller's stream can only wait for what has been posted.
  while (more && caller_) more = work_->post_batch(*slot_);
  if (more)
    lane_->poster().add(shared_from_this());
  else
    seal();
}

void CudaJob::order_after_caller() {
  const auto stream = static_cast<cudaStream_t>(caller_->handle);
  const std::string device = fmt::format("cuda:{}", lane_->device());
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  cuda::check(cudaStreamIsCapturing(stream, &capture),
              "TransferOptions::stream is no usable stream of " + device,
              ErrorCode::invalid_argument);
  if (capture != cudaStreamCaptureStatusNone)
    throw Error(ErrorCode::invalid_argument,
                "TransferOptions::stream is being captured into a CUDA graph; a transfer cannot be "
                "part of a graph");
  cuda::check(cudaEventRecord(slot_->order.get(), stream),
              "TransferOptions::stream is no stream of " + device, ErrorCode::invalid_argument);
  cuda::check(cudaStreamWaitEvent(slot_->stream.get(), slot_->order.get(), 0),
              "cannot order the copy after the caller's stream");
}

void CudaJob::launch_kernel(const Setup& setup) {
  handshake_ = caller_.has_value();
  kernels::Control control;
  control.words = words_;
  control.relay = reinterpret_cast<std::uint32_t*>(slot_->relay.data());
  control.ticket = slot_->next_tickets(kernels::launches(setup.plan));
  control.handshake = handshake_;
  cuda::check(static_cast<cudaError_t>(kernels::launch_copy(setup.plan, setup.choice.launch,
                                                            control, slot_->stream.get())),
              "cannot launch the copy kernel");
}

// Everything is in the stream: marks its end.
void CudaJob::seal() {
  cuda::check(cudaEventRecord(done_, slot_->stream.get()), "cannot record an event");
  if (caller_)
    cuda::check(cudaStreamWaitEvent(static_cast<cudaStream_t>(caller_->handle), done_, 0),
                "cannot order the caller's stream after the copy");
  sealed_.store(true, std::memory_order_release);
  self_ = shared_from_this();
  const cudaError_t error = cudaLaunchHostFunc(slot_->stream.get(), &CudaJob::on_done, this);
  if (error == cudaSuccess) return;
  self_.reset();
  cuda::check(error, "cannot ask CUDA for a callback");
}

// Posting failed half way: what is in the stream becomes a no-op or is waited for.
void CudaJob::undo_post() noexcept {
  {
    std::lock_guard lock(mutex_);
    quiet_ = nullptr;
    if (!posted_) return;
    atomic(words_->abort).store(static_cast<std::uint32_t>(ErrorCode::failed));
  }
  // A kernel behind the caller's stream sees the abort word before it writes anything; waiting for
  // that stream here could take forever.
  if (caller_ && !work_) return;
  drain();
}

// Until nothing that was posted can move bytes any more.
void CudaJob::drain() noexcept {
  cudaStreamSynchronize(slot_->stream.get());
  for (const auto& fork : slot_->forks)
    if (fork) cudaStreamSynchronize(fork.get());
  (void)cudaGetLastError();
}

void CUDART_CB CudaJob::on_done(void* data) {
  const RestrictedThread restricted;
  const std::shared_ptr<CudaJob> job = std::move(static_cast<CudaJob*>(data)->self_);
  job->finish_from_gpu();
  job->lane_->give_back(std::move(job->slot_));
}

CudaJob::Progress CudaJob::post_more() noexcept {
  try {
    const cuda::DeviceGuard guard(lane_->device());
    bool more = true;
    if (aborted()) {
      posting_ended_early_ = true;
      more = false;
    } else {
      if (!work_->ready(*slot_)) return Progress::waiting;
      more = work_->post_batch(*slot_);
    }
    if (more) return Progress::posted;
    seal();
  } catch (const std::exception& e) {
    fail(e.what());
  }
  return Progress::all_posted;
}

void CudaJob::fail(const std::string& why) noexcept {
  drain();
  JobResult result;
  result.error = why;
  finish(std::move(result));
}

bool CudaJob::aborted() const noexcept { return atomic(words_->abort).load() != 0; }

void CudaJob::abort(ErrorCode why) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (result_) return;
    std::uint32_t good = 0;
    atomic(words_->abort).compare_exchange_strong(good, static_cast<std::uint32_t>(why));
  }
  if (!handshake_) return;
  // The host's half of Dekker's handshake (the kernel's: aborted_at_start): if the first CTA has
  // not started by now, it will see the word above before it writes anything, however long the
  // caller's stream keeps the kernel waiting.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (atomic(words_->started).load() != 0) return;
  JobResult result;
  result.aborted = true;
  result.move_s = std::chrono::duration<double>(Clock::now() - posted_at_).count();
  finish(std::move(result));
}

std::optional<JobResult> CudaJob::poll() {
  {
    std::lock_guard lock(mutex_);
    if (result_) return result_;
  }
  if (sealed_.load(std::memory_order_acquire)) {
    const cuda::DeviceGuard guard(lane_->device());
    check_event();
  }
  std::lock_guard lock(mutex_);
  return result_;
}

// True when the job has ended. The slot may be another job's by now, but only if the callback has
// ended this one.
bool CudaJob::check_event() {
  const CUresult status = cuda::driver().event_query(done_);
  if (status == CUDA_ERROR_NOT_READY) {
    std::lock_guard lock(mutex_);
    return result_.has_value();
  }
  if (status == CUDA_SUCCESS) {
    finish_from_gpu();
    return true;
  }
  // The context is broken, for good. CUDA's callback will not come, and keeps its job: a leak, in a
  // process whose GPU work is over anyway.
  JobResult result;
  result.error = "the GPU failed while it copied: " + cuda::describe(status);
  finish(std::move(result));
  return true;
}

void CudaJob::finish_from_gpu() {
  JobResult result;
  const bool stopped = posting_ended_early_ || atomic(words_->stopped).load() != 0;
  result.moved_all = !stopped;
  result.aborted = stopped;
  result.move_s = std::chrono::duration<double>(Clock::now() - posted_at_).count();
  finish(std::move(result));
}

void CudaJob::finish(JobResult result) {
  std::function<void()> quiet;
  {
    std::lock_guard lock(mutex_);
    if (result_) return;
    // An abort that came too late to stop anything: the status word stays good.
    if (result.moved_all) atomic(words_->abort).store(0);
    result_ = std::move(result);
    quiet = std::move(quiet_);
    quiet_ = nullptr;
  }
  ended_.notify_all();
  if (quiet) quiet();
}

}  // namespace kvferry::path
