#include "path/ucx/ucp_job.hpp"

#include <fmt/format.h>

#include "path/ucx/bind_device.hpp"
#include "path/ucx/ucp_endpoint.hpp"

namespace kvferry::path::ucx {
namespace {

bool means_lost(ucs_status_t status) {
  switch (status) {
    case UCS_ERR_ENDPOINT_TIMEOUT:
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_UNREACHABLE:
    case UCS_ERR_NOT_CONNECTED:
    case UCS_ERR_REJECTED:
    case UCS_ERR_CANCELED: return true;
    default: return false;
  }
}

}  // namespace

UcpJob::UcpJob(Key, plan::Plan plan, std::shared_ptr<Reach> reach, Direction direction,
               std::shared_ptr<JobObserver> observer)
    : direction_(direction),
      bytes_(plan.bytes()),
      engine_(reach->engine().shared_from_this()),
      reach_(std::move(reach)),
      pieces_(std::move(plan)),
      observer_(std::move(observer)) {
  for (Operation& operation : operations_) {
    operation.job = this;
    free_.push_back(&operation);
  }
}

std::shared_ptr<UcpJob> UcpJob::start(plan::Plan plan, std::shared_ptr<Reach> reach,
                                      Direction direction, std::shared_ptr<JobObserver> observer) {
  auto job = std::make_shared<UcpJob>(Key{}, std::move(plan), std::move(reach), direction,
                                      std::move(observer));
  // From then on the engine keeps it, until it is over.
  const auto engine = job->engine_;
  if (!engine->post([engine = engine.get(), job] {
        if (job->begin()) engine->take(job);
      }))
    throw Error(ErrorCode::unreachable, "the node is closing: UCX is stopped");
  return job;
}

// False: it is over already.
bool UcpJob::begin() noexcept {
  try {
    endpoint_ = reach_->endpoint();
    keys_ = reach_->keys_for(endpoint_);
    const std::lock_guard lock(mutex_);
    carriage_ = endpoint_->carriage();
    return true;
  } catch (const Error& error) {
    fail(error.code(), error.what());
  } catch (const std::exception& error) {
    fail(ErrorCode::resource, error.what());
  }
  finish(outcome());
  return false;
}

bool UcpJob::step(Clock::time_point now) noexcept {
  if (!endpoint_->usable()) fail(ErrorCode::unreachable, endpoint_->why());
  if (abort_ != kNoAbort || !error_.empty()) stop(now);
  if (!stopped_at_) post_some();
  // It may have been lost just now, with all that was posted on it.
  if (!endpoint_->usable()) fail(ErrorCode::unreachable, endpoint_->why());
  const bool idle = free_.size() == kWindow;
  // Also of a push that was stopped: until then what has left may still land.
  const bool wants_flush = direction_ == Direction::push && !flushing_ && endpoint_->usable();
  if (idle && wants_flush && (posted_all_ || stopped_at_)) {
    post_flush();
  } else if (idle && (posted_all_ || stopped_at_)) {
    finish(outcome());
    return true;
  }
  if (stopped_at_) urge(now);
  return false;
}

void UcpJob::stop(Clock::time_point now) noexcept {
  if (stopped_at_) return;
  stopped_at_ = now;
  // Its process or its host is gone: nothing will come of waiting.
  if (abort_ == static_cast<int>(ErrorCode::unreachable))
    endpoint_->fail("the connection to the peer is over");
}

// A peer that is slow goes on; one that does not answer, because it was stopped or is gone, would
// keep us for ever.
void UcpJob::urge(Clock::time_point now) noexcept {
  if (!endpoint_->usable() || now - *stopped_at_ < kGrace || now - endpoint_->last_heard() < kGrace)
    return;
  closed_by_us_ = true;
  endpoint_->fail(fmt::format("the peer did not answer over {} while a transfer was being stopped",
                              endpoint_->carriage()));
}

void UcpJob::post_some() noexcept {
  try {
    bind_device(reach_->device());  // another job may have bound another one
  } catch (const std::exception& error) {
    return fail(ErrorCode::failed, error.what());
  }
  const UcpLibrary& ucp = engine_->ucp();
  while (!posted_all_ && !free_.empty() && error_.empty() && endpoint_->usable()) {
    const auto piece = pieces_.next();
    if (!piece) {
      posted_all_ = true;
      return;
    }
    const bool pull = direction_ == Direction::pull;
    const std::uint64_t here = pull ? piece->target : piece->source;
    const std::uint64_t there = pull ? piece->source : piece->target;
    const ucp_mem_h handle = reach_->local_at(here);
    if (handle == nullptr)
      return fail(ErrorCode::refused, "the local pool was revoked while blocks were moving");
    Operation& operation = *free_.back();
    free_.pop_back();
    operation.bytes = piece->bytes;
    ucp_request_param_t params{};
    params.op_attr_mask =
        UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMH;
    params.cb.send = on_done;
    params.user_data = &operation;
    params.memh = handle;
    const ucp_rkey_h key = keys_->at(reach_->remote_region(there));
    auto* const buffer = reinterpret_cast<void*>(here);
    posted(operation,
           pull ? ucp.get(endpoint_->handle(), buffer, piece->bytes, there, key, &params)
                : ucp.put(endpoint_->handle(), buffer, piece->bytes, there, key, &params));
  }
}

void UcpJob::post_flush() noexcept {
  Operation& operation = *free_.back();
  free_.pop_back();
  operation.bytes = 0;
  flushing_ = true;
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.cb.send = on_done;
  params.user_data = &operation;
  posted(operation, engine_->ucp().ep_flush(endpoint_->handle(), &params));
}

void UcpJob::posted(Operation& operation, ucs_status_ptr_t request) noexcept {
  if (request == nullptr) return ended(operation, UCS_OK);
  if (UCS_PTR_IS_ERR(request)) return ended(operation, UCS_PTR_STATUS(request));
}

void UcpJob::on_done(void* request, ucs_status_t status, void* operation) {
  auto& done = *static_cast<Operation*>(operation);
  const UcpEngine& engine = *done.job->engine_;
  done.job->ended(done, status);
  engine.ucp().request_free(request);
}

void UcpJob::ended(Operation& operation, ucs_status_t status) noexcept {
  free_.push_back(&operation);
  endpoint_->heard();
  if (status == UCS_OK) {
    landed_ += operation.bytes;
    if (flushing_) flushed_ = true;
    return;
  }
  // Operations may hear of it before the endpoint's own callback does.
  if (means_lost(status)) endpoint_->lost(status);
  // Of an endpoint that has failed step() knows a better reason.
  if (!endpoint_->usable()) return;
  fail(ErrorCode::failed,
       fmt::format("UCX could not {} over {}: {}", direction_ == Direction::pull ? "get" : "put",
                   endpoint_->carriage(), engine_->ucp().text_of(status)));
}

void UcpJob::fail(ErrorCode code, std::string why) noexcept {
  // What follows an abort is its doing.
  if (!error_.empty() || abort_ != kNoAbort) return;
  code_ = code;
  error_ = std::move(why);
}

JobResult UcpJob::outcome() const {
  JobResult result;
  const bool pull = direction_ == Direction::pull;
  result.moved_all = posted_all_ && landed_ == bytes_ && (pull || flushed_);
  if (result.moved_all) return result;
  result.aborted = abort_ != kNoAbort && error_.empty();
  if (pull || flushed_) {
    result.landed = landed_;
  } else if (result.aborted && closed_by_us_) {
    // The one thing that cannot be promised: UCX and the networks may still hold some of it.
    const auto why = static_cast<ErrorCode>(abort_.load());
    result.code = why == ErrorCode::cancelled ? ErrorCode::failed : why;
    result.error = fmt::format(
        "{}, and the peer did not answer: up to {} of {} bytes have landed "
        "there, or may yet land when it goes on",
        why == ErrorCode::deadline ? "the deadline passed" : "it was stopped", landed_, bytes_);
    return result;
  }
  if (error_.empty()) return result;
  result.code = code_;
  result.error =
      pull || flushed_
          ? fmt::format("{}; {} of {} bytes had landed", error_, landed_, bytes_)
          : fmt::format("{}; at most {} of {} bytes had landed", error_, landed_, bytes_);
  return result;
}

void UcpJob::finish(JobResult result) noexcept {
  result.move_s = std::chrono::duration<double>(Clock::now() - started_).count();
  keys_.reset();
  endpoint_.reset();
  reach_.reset();
  std::shared_ptr<JobObserver> observer;
  {
    const std::lock_guard lock(mutex_);
    if (result_) return;
    result_ = std::move(result);
    observer.swap(observer_);
    over_.notify_all();
  }
  if (observer) observer->job_is_quiet();
}

void UcpJob::give_up(const std::string& why) noexcept {
  fail(ErrorCode::failed, why);
  finish(outcome());
}

void UcpJob::abort(ErrorCode why) noexcept {
  int none = kNoAbort;
  if (abort_.compare_exchange_strong(none, static_cast<int>(why))) engine_->wake();
}

std::optional<JobResult> UcpJob::poll() {
  const std::lock_guard lock(mutex_);
  return result_;
}

bool UcpJob::wait_until(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  return over_.wait_until(lock, until, [this] { return result_.has_value(); });
}

std::string UcpJob::method() const {
  const std::lock_guard lock(mutex_);
  return fmt::format("{} by {}", direction_ == Direction::pull ? "get" : "put",
                     carriage_.empty() ? "UCX" : carriage_);
}

}  // namespace kvferry::path::ucx
