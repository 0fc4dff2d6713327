#include "path/host_shm/copy_job.hpp"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kvferry::path::host {

namespace {

// After having helped, all that is left is the end of somebody else's last chunk: sleeping and
// waking would cost about as much.
constexpr auto kSpin = std::chrono::microseconds(50);

// Less than waking a thread takes (5 to 10 us): such a job is copied by whoever posts it.
bool is_small(const Chunks& chunks) {
  constexpr std::uint64_t kSmallBytes = 128 << 10, kSmallRows = 256;
  return chunks.bytes() <= kSmallBytes && chunks.rows() <= kSmallRows;
}

// Takes so long that it does not matter when the last thread wakes (bench: posting/host).
constexpr std::uint64_t kLargeBytes = 64 << 20;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

CopyJob::CopyJob(plan::Plan plan, Setup setup)
    : chunks_(std::move(plan), setup.threads->count()),
      mover_(std::move(setup.mover)),
      direction_(setup.direction),
      threads_(std::move(setup.threads)),
      pending_(chunks_.count()),
      observer_(std::move(setup.observer)) {}

std::shared_ptr<CopyJob> CopyJob::start(plan::Plan plan, Setup setup) {
  auto job = std::make_shared<CopyJob>(std::move(plan), std::move(setup));
  if (job->chunks_.count() == 0) {
    job->end();
  } else if (is_small(job->chunks_)) {
    while (job->step()) {
    }
  } else {
    job->threads_->post(
        job, job->chunks_.bytes() < kLargeBytes ? CopyThreads::Wake::all : CopyThreads::Wake::one);
  }
  return job;
}

bool CopyJob::step() noexcept {
  const std::uint64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
  if (chunk >= chunks_.count()) return false;
  move_chunk(chunk);
  settle(1);
  return next_.load(std::memory_order_relaxed) < chunks_.count();
}

void CopyJob::move_chunk(std::uint64_t chunk) noexcept {
  std::optional<std::string> error;
  chunks_.walk(chunk, [&](std::span<const Piece> pieces) {
    error = mover_->move(pieces, direction_);
    return !error;
  });
  if (error) fail(std::move(*error));
}

void CopyJob::fail(std::string error) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (result_.error.empty()) result_.error = std::move(error);
  }
  // Ours is still pending: this cannot end the job.
  settle(withdraw());
}

std::uint64_t CopyJob::withdraw() noexcept {
  const std::uint64_t claimed = next_.exchange(chunks_.count(), std::memory_order_relaxed);
  return claimed < chunks_.count() ? chunks_.count() - claimed : 0;
}

void CopyJob::abort(ErrorCode) noexcept {
  const std::uint64_t withdrawn = withdraw();
  if (withdrawn == 0) return;
  {
    const std::lock_guard lock(mutex_);
    result_.aborted = true;
  }
  settle(withdrawn);
}

void CopyJob::settle(std::uint64_t chunks) noexcept {
  if (chunks == 0) return;
  // Release: our bytes come before the count; acquire: the last one has seen everybody's.
  if (pending_.fetch_sub(chunks, std::memory_order_acq_rel) == chunks) end();
}

void CopyJob::end() noexcept {
  const std::chrono::duration<double> moved = std::chrono::steady_clock::now() - started_;
  std::shared_ptr<JobObserver> observer;
  {
    const std::lock_guard lock(mutex_);
    result_.moved_all = !result_.aborted && result_.error.empty();
    result_.move_s = moved.count();
    observer.swap(observer_);
    quiet_.store(true, std::memory_order_release);
    ended_.notify_all();
  }
  if (observer) observer->job_is_quiet();
}

std::optional<JobResult> CopyJob::poll() {
  if (!quiet()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return result_;
}

bool CopyJob::wait_until(std::chrono::steady_clock::time_point until) {
  if (quiet()) return true;
  if (threads_->help(*this, until)) {
    const auto spin_until = std::min(until, std::chrono::steady_clock::now() + kSpin);
    while (!quiet() && std::chrono::steady_clock::now() < spin_until) relax();
  }
  std::unique_lock lock(mutex_);
  return ended_.wait_until(lock, until, [&] { return quiet(); });
}

std::string CopyJob::method() const {
  const unsigned threads = is_small(chunks_) ? 1 : threads_->count();
  return fmt::format("{}, {} thread{}", mover_->name(direction_), threads, threads == 1 ? "" : "s");
}

}  // namespace kvferry::path::host
