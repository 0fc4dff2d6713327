#include "path/cuda_ipc/cuda_job.hpp"

#include <fmt/format.h>

#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "path/cuda_ipc/cuda_watcher.hpp"

namespace kvferry::path {
namespace {

// How long after its expected end the watcher looks at a copy that nobody is to be told of. Not
// sooner than the watcher's tick, so that it need not be woken.
constexpr auto kPatience = std::chrono::microseconds(1100);
// Two batches of engine copies are in flight, each of a hundred microseconds or more.
constexpr auto kBetweenBatches = std::chrono::microseconds(30);

std::atomic_ref<std::uint32_t> atomic(std::uint32_t& word) {
  return std::atomic_ref<std::uint32_t>(word);
}

}  // namespace

CudaJob::CudaJob(Key, std::shared_ptr<Lane> lane, std::shared_ptr<JobObserver> observer)
    : lane_(std::move(lane)), observer_(std::move(observer)) {
  words_ = lane_->take_words();
}

CudaJob::~CudaJob() {
  if (slot_ != nullptr && posted_) {
    // Posting failed half way. The stream may still hold work that reads the words.
    lane_->park(std::move(slot_));
    return;
  }
  if (slot_ != nullptr) lane_->give_back(std::move(slot_));
  lane_->give_back(words_);
}

std::shared_ptr<CudaJob> CudaJob::start_empty(std::shared_ptr<Lane> lane,
                                              std::shared_ptr<JobObserver> observer) {
  auto job = std::make_shared<CudaJob>(Key{}, std::move(lane), std::move(observer));
  JobResult result;
  result.moved_all = true;
  job->finish(std::move(result));
  return job;
}

std::shared_ptr<CudaJob> CudaJob::start(Setup setup) {
  const CudaCopy& copy = setup.prepared ? *setup.prepared : *setup.once;
  auto job = std::allocate_shared<CudaJob>(RecyclingAllocator<CudaJob>(setup.lane->recycler()),
                                           Key{}, setup.lane, std::move(setup.observer));
  job->slot_ = job->lane_->take_slot();
  job->done_ = job->slot_->done.get();
  job->caller_ = setup.stream;
  job->input_ = copy.input;
  job->choice_ = copy.choice;
  job->expected_ = std::chrono::microseconds(static_cast<std::int64_t>(copy.choice.expected_us));
  const cuda::DeviceGuard guard(job->lane_->device());
  try {
    job->post(setup);
  } catch (...) {
    job->undo_post();
    throw;
  }
  return job;
}

void CudaJob::post(Setup& setup) {
  if (caller_) order_after_caller();
  posted_ = true;
  posted_at_ = Clock::now();
  if (choice_->engine) return post_engine(setup);
  launch_kernel(setup.prepared ? *setup.prepared : *setup.once);
  seal();
  watch(first_look(setup.prompt));
}

void CudaJob::post_engine(Setup& setup) {
  const CudaCopy& copy = setup.prepared ? *setup.prepared : *setup.once;
  work_.emplace(copy.plan, copy.cut, choice_->streams, input_.link);
  bool more = work_->post_batch(*slot_);
  // The caller's stream can only wait for what has been posted.
  while (more && caller_) more = work_->post_batch(*slot_);
  if (!more) {
    work_.reset();
    seal();
  } else if (setup.prepared) {
    prepared_ = setup.prepared;
  } else {
    plan_ = std::move(setup.once->plan);
    work_->moved(plan_);
  }
  watch(more ? posted_at_ : first_look(setup.prompt));
}

CudaJob::Clock::time_point CudaJob::first_look(bool prompt) const noexcept {
  return prompt ? next_look() : posted_at_ + expected_ + kPatience;
}

// Whoever waits sees the end first; the watcher's look is for copies that nobody waits for.
void CudaJob::watch(Clock::time_point from) {
  {
    std::lock_guard lock(mutex_);
    self_ = shared_from_this();
  }
  lane_->watcher().add(shared_from_this(), from);
}

// That the watcher then knows the job twice does no harm.
void CudaJob::prompt() noexcept {
  try {
    lane_->watcher().add(shared_from_this(), next_look());
  } catch (const std::exception&) {
    // No memory for it: the watcher looks when it would have anyway.
  }
}

void CudaJob::order_after_caller() {
  const auto stream = static_cast<cudaStream_t>(caller_->handle);
  const std::string device = fmt::format("cuda:{}", lane_->device());
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  cuda::check(cudaStreamIsCapturing(stream, &capture),
              "TransferOptions::stream is no usable stream of " + device,
              ErrorCode::invalid_argument);
  if (capture != cudaStreamCaptureStatusNone)
    throw Error(
        ErrorCode::invalid_argument,
        "TransferOptions::stream is being captured into a CUDA graph; only a prepared copy can "
        "be part of one: PreparedTransfer::capture()");
  cuda::check(cudaEventRecord(slot_->order.get(), stream),
              "TransferOptions::stream is no stream of " + device, ErrorCode::invalid_argument);
  cuda::check(cudaStreamWaitEvent(slot_->stream.get(), slot_->order.get(), 0),
              "cannot order the copy after the caller's stream");
}

void CudaJob::launch_kernel(const CudaCopy& copy) {
  handshake_ = caller_.has_value();
  kernels::Control control;
  control.words = words_;
  control.relay = reinterpret_cast<std::uint32_t*>(slot_->relay.data());
  control.handshake = handshake_;
  control.tell_end = true;
  const std::uint32_t launches =
      copy.packed ? copy.packed->launches() : kernels::launches(copy.plan);
  control.ticket = slot_->next_tickets(launches);
  const cudaStream_t stream = slot_->stream.get();
  const int error = copy.packed
                        ? copy.packed->start(control, stream)
                        : kernels::launch_copy(copy.plan, copy.choice.launch, control, stream);
  cuda::check(static_cast<cudaError_t>(error), "cannot launch the copy kernel");
}

// Everything is in the stream: marks its end. A kernel writes the done word itself, for the copy
// engine the stream does. The event can then wait until somebody asks for it, if ever.
void CudaJob::seal() {
  has_word_ = !choice_->engine || write_done_word();
  recorded_ = !has_word_ || caller_.has_value();
  if (recorded_) cuda::check(cudaEventRecord(done_, slot_->stream.get()), "cannot record an event");
  if (caller_)
    cuda::check(cudaStreamWaitEvent(static_cast<cudaStream_t>(caller_->handle), done_, 0),
                "cannot order the caller's stream after the copy");
  sealed_.store(true, std::memory_order_release);
}

bool CudaJob::write_done_word() const noexcept {
  const auto word = reinterpret_cast<CUdeviceptr>(&words_->done);
  return cuda::driver().write_value(slot_->stream.get(), word, 1, CU_STREAM_WRITE_VALUE_DEFAULT) ==
         CUDA_SUCCESS;
}

// Posting failed half way: what is in the stream becomes a no-op or is waited for.
void CudaJob::undo_post() noexcept {
  {
    std::lock_guard lock(mutex_);
    observer_ = nullptr;
    self_ = nullptr;  // start() still holds it
    if (!posted_) return;
    atomic(words_->abort).store(static_cast<std::uint32_t>(ErrorCode::failed));
  }
  // A kernel behind the caller's stream that has not started sees the abort word before it writes
  // anything; waiting for that stream here could take forever.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (caller_ && !choice_->engine && atomic(words_->started).load() == 0) return;
  drain();
}

// Until nothing that was posted can move bytes any more.
void CudaJob::drain() noexcept {
  if (slot_ == nullptr) return;
  cudaStreamSynchronize(slot_->stream.get());
  for (const auto& fork : slot_->forks)
    if (fork) cudaStreamSynchronize(fork.get());
  (void)cudaGetLastError();
}

std::optional<CudaJob::Clock::time_point> CudaJob::look() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (slot_ == nullptr || broken_) return std::nullopt;  // somebody has seen the end
  }
  try {
    if (work_) {
      const cuda::DeviceGuard guard(lane_->device());
      bool more = true;
      if (aborted()) {
        posting_ended_early_ = true;
        more = false;
      } else {
        if (!work_->ready(*slot_)) return Clock::now() + kBetweenBatches;
        more = work_->post_batch(*slot_);
      }
      if (more) return Clock::now();
      work_.reset();
      seal();
    }
    check_end();
    {
      std::lock_guard lock(mutex_);
      if (slot_ == nullptr || broken_) return std::nullopt;
    }
    return next_look();
  } catch (const std::exception& e) {
    fail(e.what());
  }
  return std::nullopt;
}

void CudaJob::fail(const std::string& why) noexcept {
  drain();
  JobResult result;
  result.error = why;
  finish(std::move(result));
  std::shared_ptr<CudaJob> self;
  std::lock_guard lock(mutex_);
  self = std::move(self_);
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
  if (sealed_.load(std::memory_order_acquire)) check_end();
  std::lock_guard lock(mutex_);
  return result_;
}

bool CudaJob::landed() const noexcept { return atomic(words_->done).load() != 0; }

void CudaJob::check_end() noexcept {
  if (landed())
    end_landed();
  else
    check_event();
}

void CudaJob::end_landed() {
  finish_from_gpu();
  return_slot();
}

// True when the job has ended. The slot may be another job's by now, but only once somebody has
// seen this one end.
bool CudaJob::check_event() noexcept {
  std::optional<cuda::DeviceGuard> guard;
  if (!make_current(guard)) return true;
  const CUresult status = query_event();
  if (status == CUDA_ERROR_NOT_READY) {
    std::lock_guard lock(mutex_);
    return result_.has_value();
  }
  if (status == CUDA_SUCCESS) {
    end_landed();
    return true;
  }
  gpu_failed("the GPU failed while it copied: " + cuda::describe(status));
  return true;
}

CUresult CudaJob::query_event() noexcept {
  {
    std::lock_guard lock(mutex_);
    // Without a slot somebody has seen the end.
    if (!recorded_ && slot_ != nullptr) {
      recorded_ = true;
      const cudaError_t error = cudaEventRecord(done_, slot_->stream.get());
      if (error != cudaSuccess) return static_cast<CUresult>(error);  // the same numbers
    }
  }
  return cuda::driver().event_query(done_);
}

// The context is broken, or gone, for good. The slot stays with the job: a leak, in a process whose
// GPU work is over anyway.
void CudaJob::gpu_failed(std::string error) noexcept {
  {
    std::lock_guard lock(mutex_);
    broken_ = true;
  }
  JobResult result;
  result.error = std::move(error);
  finish(std::move(result));
}

bool CudaJob::make_current(std::optional<cuda::DeviceGuard>& guard) noexcept {
  try {
    guard.emplace(lane_->device());
    return true;
  } catch (const std::exception& e) {
    gpu_failed(e.what());
    return false;
  }
}

void CudaJob::return_slot() noexcept {
  std::unique_ptr<Slot> slot;
  std::shared_ptr<CudaJob> self;
  {
    std::lock_guard lock(mutex_);
    if (slot_ == nullptr) return;
    slot = std::move(slot_);
    self = std::move(self_);
  }
  lane_->give_back(std::move(slot));
}

std::string CudaJob::method() const {
  return choice_ ? describe(*choice_, input_) : "nothing to copy";
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
  std::shared_ptr<JobObserver> observer;
  {
    std::lock_guard lock(mutex_);
    if (result_) return;
    // An abort that came too late to stop anything: the status word stays good.
    if (result.moved_all) atomic(words_->abort).store(0);
    result_ = std::move(result);
    over_.store(true, std::memory_order_release);
    observer = std::move(observer_);
  }
  ended_.notify_all();
  if (observer) observer->job_is_quiet();
}

}  // namespace kvferry::path
