#include "node/transfer_impl.hpp"

#include <fmt/format.h>

namespace kvferry::detail {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// How a copy that failed ends its transfer.
TransferState state_of(ErrorCode code) {
  if (code == ErrorCode::unreachable) return TransferState::peer_died;
  if (code == ErrorCode::deadline) return TransferState::deadline;
  return TransferState::failed;
}

}  // namespace

ErrorCode error_code_of(TransferState state) noexcept {
  switch (state) {
    case TransferState::cancelled: return ErrorCode::cancelled;
    case TransferState::deadline: return ErrorCode::deadline;
    case TransferState::peer_died: return ErrorCode::unreachable;
    default: return ErrorCode::failed;
  }
}

TransferImpl::TransferImpl(Start start, std::shared_ptr<Owner> owner)
    : start_(std::move(start)), owner_(std::move(owner)) {}

// A path waited for its peer as long as there was time.
bool TransferImpl::is_late(const std::exception& error) const noexcept {
  const auto* known = dynamic_cast<const Error*>(&error);
  return known != nullptr && known->code() == ErrorCode::deadline && start_.deadline &&
         Clock::now() >= *start_.deadline;
}

void TransferImpl::begin_late(std::string_view why) {
  posted_ = Clock::now();
  end_late(why);
}

void TransferImpl::end_late(std::string_view why) {
  constexpr std::string_view kLate = "the deadline passed before anything was posted";
  end_as(TransferState::deadline,
         why.empty() ? std::string(kLate) : fmt::format("{}: {}", kLate, why));
}

bool TransferImpl::hold(std::shared_ptr<path::Route> route) {
  posted_ = Clock::now();
  if (start_.deadline && posted_ >= *start_.deadline) {
    end_late({});
    return false;
  }
  if (start_.report.blocks == 0) {
    end_as(TransferState::done, {});
    return false;
  }
  std::lock_guard lock(mutex_);
  route_ = std::move(route);
  return true;
}

// The path keeps us alive until it has told us that the job is quiet.
void TransferImpl::begin(std::shared_ptr<path::Route> route, plan::Plan& plan) {
  path::Route& through = *route;
  if (!hold(std::move(route))) return;
  try {
    started(through.start(plan, start_.job, shared_from_this()));
  } catch (const std::exception& error) {
    if (is_late(error)) return end_late(error.what());
    never_began(error.what());
    throw;
  }
}

void TransferImpl::begin(std::shared_ptr<path::Route> route, path::PreparedCopy& copy) {
  if (!hold(std::move(route))) return;
  try {
    started(copy.start(shared_from_this(), start_.deadline));
  } catch (const std::exception& error) {
    if (is_late(error)) return end_late(error.what());
    never_began(error.what());
    throw;
  }
}

void TransferImpl::started(std::shared_ptr<path::Job> job) {
  bool finish_now = false;
  TransferState late_abort = TransferState::running;
  {
    std::lock_guard lock(mutex_);
    job_ = std::move(job);
    posted_ = Clock::now();
    finish_now = quiet_before_begin_returned_;
    late_abort = abort_state_;
  }
  if (late_abort != TransferState::running) job_->abort(error_code_of(late_abort));
  if (finish_now) finish();
}

// For whoever waits already (a peer that is being closed); nobody is told, since the caller gets
// the exception.
void TransferImpl::never_began(const std::string& why) {
  {
    std::lock_guard lock(mutex_);
    state_ = TransferState::failed;
    error_ = why;
    route_.reset();
  }
  owner_ = nullptr;
  ended_.notify_all();
}

void TransferImpl::job_is_quiet() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (job_ == nullptr) {
      quiet_before_begin_returned_ = true;
      return;
    }
  }
  finish();
}

void TransferImpl::finish() {
  std::shared_ptr<path::Job> job;
  {
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running) return;
    job = job_;
  }
  // Outside the lock: a job that finds itself quiet here may call job_is_quiet() at once.
  const auto result = job->poll();
  if (!result) return;
  {
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running) return;
    start_.report.move_s = result->move_s;
    start_.report.landed = result->landed.value_or(result->moved_all ? start_.report.bytes : 0);
    // What its owner called cancelled nobody here had asked for.
    if (result->code != ErrorCode::cancelled) failure_ = result->code;
  }
  if (!result->error.empty()) return end_as(state_of(result->code), result->error);
  if (result->moved_all) return end_as(TransferState::done, {});
  std::unique_lock lock(mutex_);
  const TransferState why =
      abort_state_ == TransferState::running ? TransferState::failed : abort_state_;
  std::string message = abort_message_.empty() ? "the copy stopped early" : abort_message_;
  lock.unlock();
  end_as(why, std::move(message));
}

void TransferImpl::end_as(TransferState state, std::string message) {
  std::shared_ptr<path::Route> route;
  const auto now = Clock::now();
  {
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running) return;
    TransferReport& report = start_.report;
    report.total_s = seconds(now - start_.called);
    report.post_s = seconds(posted_ - start_.called);
    // A path that cannot tell when the last byte moved leaves the time to us: then nothing is
    // counted as sync.
    const double after_post = seconds(now - posted_);
    if (report.move_s <= 0 || report.move_s > after_post) report.move_s = after_post;
    report.sync_s = after_post - report.move_s;
    error_ = std::move(message);
    state_ = state;
    route = std::move(route_);
  }
  ended_.notify_all();
  if (const auto owner = std::exchange(owner_, nullptr)) owner->ended(*this, std::move(route));
}

TransferState TransferImpl::poll() {
  std::shared_ptr<path::Job> job;
  {
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running) return state_;
    job = job_;
  }
  if (job && job->poll()) finish();
  return state();
}

bool TransferImpl::wait_until(Clock::time_point until) {
  for (;;) {
    std::shared_ptr<path::Job> job;
    bool aborted = false;
    {
      std::unique_lock lock(mutex_);
      if (state_ != TransferState::running) return true;
      job = job_;
      aborted = abort_state_ != TransferState::running;
    }
    if (!job) {
      // It is being posted by another thread.
      std::unique_lock lock(mutex_);
      const auto look_again = std::min(until, Clock::now() + std::chrono::milliseconds(1));
      ended_.wait_until(lock, look_again, [this] { return state_ != TransferState::running; });
      if (Clock::now() >= until) return state_ != TransferState::running;
      continue;
    }
    const bool by_deadline = !aborted && start_.deadline && *start_.deadline < until;
    if (job->wait_until(by_deadline ? *start_.deadline : until)) {
      finish();
      // Somebody else may be finishing it right now, a few instructions away from the end.
      std::unique_lock lock(mutex_);
      ended_.wait(lock, [this] { return state_ != TransferState::running; });
      return true;
    }
    if (by_deadline && Clock::now() >= *start_.deadline)
      abort(TransferState::deadline, "the deadline passed while blocks were moving");
    if (Clock::now() >= until) return state() != TransferState::running;
  }
}

bool TransferImpl::notify(std::uint64_t tag) {
  std::shared_ptr<path::Job> job;
  {
    // What the end does it reads after the state has changed, which takes this lock.
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running) return false;
    start_.ending.notify_completion = true;
    start_.ending.tag = tag;
    job = job_;
  }
  if (job) job->prompt();
  return true;
}

void TransferImpl::abort(TransferState why, std::string message) noexcept {
  std::shared_ptr<path::Job> job;
  {
    std::lock_guard lock(mutex_);
    if (state_ != TransferState::running || abort_state_ != TransferState::running) return;
    abort_state_ = why;
    abort_message_ = std::move(message);
    job = job_;
  }
  if (job) job->abort(error_code_of(why));
}

TransferState TransferImpl::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

const TransferReport& TransferImpl::report() const {
  std::lock_guard lock(mutex_);
  if (state_ == TransferState::running)
    throw Error(ErrorCode::invalid_argument,
                "report() of a transfer that is still running; wait() for it first");
  // Not before: posting and ending do without the text.
  if (job_ && start_.report.method.empty()) start_.report.method = job_->method();
  return start_.report;
}

const std::string& TransferImpl::error() const {
  std::lock_guard lock(mutex_);
  if (state_ == TransferState::running)
    throw Error(ErrorCode::invalid_argument,
                "error() of a transfer that is still running; wait() for it first");
  return error_;
}

ErrorCode TransferImpl::error_code() const {
  std::lock_guard lock(mutex_);
  return state_ == TransferState::failed ? failure_ : error_code_of(state_);
}

const volatile std::uint32_t* TransferImpl::status_word() const {
  std::lock_guard lock(mutex_);
  return job_ ? job_->status_word() : nullptr;
}

}  // namespace kvferry::detail
