#include "path/tcp/tcp_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "path/tcp/request.hpp"
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {
namespace {

std::string bytes_text(std::uint64_t landed, std::uint64_t bytes) {
  return fmt::format("{} of {} bytes had landed", landed, bytes);
}

}  // namespace

TcpJob::TcpJob(Key, Setup setup, std::shared_ptr<JobObserver> observer)
    : setup_(std::move(setup)),
      pull_(setup_.options.direction == Direction::pull),
      observer_(std::move(observer)) {}

std::shared_ptr<TcpJob> TcpJob::start(const LaidOut& laid_out, Setup setup,
                                      std::shared_ptr<JobObserver> observer) {
  auto job = std::make_shared<TcpJob>(Key{}, std::move(setup), std::move(observer));
  job->begin(laid_out);
  return job;
}

void TcpJob::begin(const LaidOut& laid_out) {
  const JobOptions& options = setup_.options;
  bytes_ = laid_out.rows->bytes();
  const std::uint32_t chunk_bytes = choose_chunk_bytes(bytes_, laid_out.rows->block_bytes(),
                                                       options.streams, options.bytes_per_s);
  const std::string staging = describe_staging(*setup_.local);
  method_ = fmt::format("{}{}{}{}", setup_.link->describe(options.streams),
                        options.checksum ? ", crc32c" : "", staging.empty() ? "" : ", ", staging);
  request_ = setup_.link->draw_request();
  if (pull_) {
    make_pull(laid_out, chunk_bytes);
  } else {
    make_push(laid_out, chunk_bytes);
  }
  try {
    // From here on the link may call us.
    setup_.link->begin_request(request_, shared_from_this());
    if (pull_) setup_.link->expect(request_, incoming_);
    ask(laid_out, chunk_bytes);
    // What ended it meanwhile told the owner before the owner had heard of it.
    if (is_over()) setup_.link->say(wire::MoveCancel{request_});
    if (!pull_ && outgoing_->is_staged()) prepare_push();
  } catch (...) {
    // The caller gets the exception; what holds us lets go.
    if (incoming_) incoming_->stop(ErrorCode::failed, "it never began");
    if (outgoing_) outgoing_->stop();
    setup_.link->end_request(request_);
    throw;
  }
}

bool TcpJob::is_over() const {
  const std::lock_guard lock(mutex_);
  return aborted_ || result_ || !lost_.empty();
}

void TcpJob::make_pull(const LaidOut& laid_out, std::uint32_t chunk_bytes) {
  Incoming::Setup in;
  in.bytes = bytes_;
  in.chunk_bytes = chunk_bytes;
  in.checked = setup_.options.checksum;
  // Whoever looks after deadlines may be late, as after a stop of the whole process.
  in.deadline = setup_.options.deadline;
  // Keeps the job, whoever else lets go of it, until nothing can land.
  in.on_over = [self = shared_from_this()](const Incoming::Outcome& outcome) mutable {
    std::exchange(self, nullptr)->pull_over(outcome);
  };
  const auto staging = setup_.link->staging_options(setup_.options.max_sms, setup_.options.streams);
  incoming_ = make_incoming(std::move(in), laid_out.rows, setup_.local, staging);
}

void TcpJob::make_push(const LaidOut& laid_out, std::uint32_t chunk_bytes) {
  Outgoing::Setup out;
  out.request = request_;
  out.bytes = bytes_;
  out.chunk_bytes = chunk_bytes;
  out.checked = setup_.options.checksum;
  out.max_streams = setup_.options.streams;
  out.limits = {setup_.link->setup().limit};
  if (setup_.options.bytes_per_s != 0)
    out.limits.push_back(std::make_shared<RateLimit>(setup_.options.bytes_per_s));
  out.on_quiet = [self = shared_from_this()](const std::string& error) mutable {
    std::exchange(self, nullptr)->push_quiet(error);
  };
  const auto staging = setup_.link->staging_options(setup_.options.max_sms, setup_.options.streams);
  outgoing_ = make_outgoing(std::move(out), laid_out.rows, setup_.local, staging);
}

// While the owner makes up its mind: the caller need not wait for launches.
void TcpJob::prepare_push() noexcept {
  try {
    const auto place = setup_.link->setup().threads->place();
    asio::post(place.io(), [outgoing = outgoing_] { outgoing->prepare(); });
  } catch (...) {
    // Then its first chunks are made ready when a stream asks for them.
  }
}

void TcpJob::ask(const LaidOut& laid_out, std::uint32_t chunk_bytes) {
  const JobOptions& options = setup_.options;
  wire::MoveRequest request;
  request.request = request_;
  request.pool = setup_.pool;
  request.generation = setup_.generation;
  request.direction = options.direction;
  request.first_layer = laid_out.first_layer;
  request.layers = laid_out.layers;
  request.bytes = bytes_;
  request.chunk_bytes = chunk_bytes;
  request.checked = options.checksum;
  request.max_streams = options.streams;
  request.bytes_per_s = options.bytes_per_s;
  if (options.deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::microseconds>(*options.deadline - Clock::now());
    request.time_left_us = std::clamp<std::uint64_t>(
        left.count() > 0 ? static_cast<std::uint64_t>(left.count()) : 1, 1, wire::kMaxTimeLeft);
  }
  const auto& runs = laid_out.remote;
  request.runs_total = static_cast<std::uint32_t>(runs.size());
  const auto cut = [&](std::size_t from) {
    const std::size_t to = std::min<std::size_t>(runs.size(), from + wire::kMaxRunsPerFrame);
    return std::vector<IdRun>(runs.begin() + static_cast<std::ptrdiff_t>(from),
                              runs.begin() + static_cast<std::ptrdiff_t>(to));
  };
  request.runs = cut(0);
  setup_.link->say(std::move(request));
  for (std::size_t at = wire::kMaxRunsPerFrame; at < runs.size(); at += wire::kMaxRunsPerFrame)
    setup_.link->say(wire::MoveRuns{request_, cut(at)});
}

// ---- a pull ----

void TcpJob::pull_over(const Incoming::Outcome& outcome) noexcept {
  JobResult result;
  result.moved_all = outcome.complete;
  if (!outcome.complete) result.landed = outcome.landed;
  std::unique_lock lock(mutex_);
  result.aborted = aborted_;
  if (!outcome.complete && !aborted_) {
    result.code = outcome.why;
    result.error = fmt::format("{}; {}", outcome.error, bytes_text(outcome.landed, bytes_));
  }
  const bool failed_here = !outcome.complete && !aborted_;
  finish(lock, std::move(result));
  // Where it was the owner that failed, it knows, and this says nothing new.
  if (failed_here) setup_.link->say(wire::MoveCancel{request_});
}

// ---- a push ----

void TcpJob::ready() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (pull_ || aborted_ || sending_ || result_) return;
    sending_ = true;
  }
  setup_.link->send(outgoing_);
}

void TcpJob::push_quiet(const std::string& error) noexcept {
  std::unique_lock lock(mutex_);
  sent_quiet_ = true;
  if (answer_) return settle_push(lock);
  if (error.empty() || aborted_ || result_) return;
  // It failed here: the owner is to stop, and to say so.
  failed_here_ = error;
  lock.unlock();
  setup_.link->say(wire::MoveCancel{request_});
  wait_for_answer();
}

void TcpJob::answer_push(JobResult result) noexcept {
  {
    std::unique_lock lock(mutex_);
    if (answer_ || result_) return;
    result.aborted = aborted_ && !result.moved_all;
    if (result.aborted) result.error.clear();
    if (!failed_here_.empty() && !result.moved_all) {
      result.code = ErrorCode::failed;
      result.error = failed_here_;
    } else if (!lost_.empty() && !result.moved_all && !result.aborted) {
      // However its owner saw the end: with the streams it began.
      result.code = ErrorCode::unreachable;
      if (result.landed)
        result.error = fmt::format("{}; {}", lost_, bytes_text(*result.landed, bytes_));
    }
    answer_ = std::move(result);
    if (sent_quiet_) return settle_push(lock);
  }
  setup_.link->stop(outgoing_);
}

void TcpJob::settle_push(std::unique_lock<std::mutex>& lock) noexcept {
  if (!answer_ || !sent_quiet_) return;
  finish(lock, *std::exchange(answer_, std::nullopt));
}

// ---- both ----

void TcpJob::ended(const wire::MoveEnd& end) noexcept {
  JobResult result;
  result.moved_all = !pull_ && !end.failure;
  if (!result.moved_all) {
    result.landed = end.bytes;
    result.code = end.failure.value_or(ErrorCode::failed);
    result.error = end.message;
    if (!pull_ && end.bytes > 0) result.error += fmt::format("; {}", bytes_text(end.bytes, bytes_));
  }
  if (!pull_) return answer_push(std::move(result));
  if (end.failure) incoming_->stop(result.code, end.message);
}

void TcpJob::lost(const std::string& why, bool for_good) noexcept {
  if (pull_) {
    incoming_->stop(ErrorCode::unreachable, why);
    // Where control still works, the owner must not go on with it over streams that come next.
    return setup_.link->say(wire::MoveCancel{request_});
  }
  {
    const std::lock_guard lock(mutex_);
    if (lost_.empty()) lost_ = why;
  }
  setup_.link->stop(outgoing_);
  if (for_good) return answer_push(unconfirmed(why));
  // What was in the sockets may land yet: the owner says when no more can, and how much has.
  setup_.link->say(wire::MoveCancel{request_});
  wait_for_answer();
}

JobResult TcpJob::unconfirmed(const std::string& why) const {
  JobResult result;
  result.code = ErrorCode::unreachable;
  result.error =
      fmt::format("{}; at most {} of {} bytes had landed", why, outgoing_->bytes_sent(), bytes_);
  return result;
}

void TcpJob::abort(ErrorCode why) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (aborted_ || result_) return;
    aborted_ = true;
  }
  if (pull_) {
    incoming_->stop(why, "stopped");
    return setup_.link->say(wire::MoveCancel{request_});
  }
  setup_.link->stop(outgoing_);
  if (why == ErrorCode::unreachable) return answer_push({});
  setup_.link->say(wire::MoveCancel{request_});
  wait_for_answer();
}

void TcpJob::wait_for_answer() noexcept {
  try {
    const auto place = setup_.link->setup().threads->place();
    auto timer = std::make_shared<asio::steady_timer>(place.io(), kConfirmTime);
    // Not the job itself, which whoever waits for its end holds: through its link it holds the
    // threads whose loop the timer is in.
    timer->async_wait([weak = weak_from_this(), timer](std::error_code) {
      const auto self = weak.lock();
      if (!self) return;
      std::string why;
      {
        const std::lock_guard lock(self->mutex_);
        why = self->lost_.empty() ? "the owner did not confirm that it stopped" : self->lost_;
      }
      self->answer_push(self->unconfirmed(why));
    });
  } catch (...) {
    answer_push({});
  }
}

void TcpJob::finish(std::unique_lock<std::mutex>& lock, JobResult result) noexcept {
  if (result_) return;
  result.move_s = std::chrono::duration<double>(Clock::now() - started_).count();
  result_ = std::move(result);
  const auto observer = std::exchange(observer_, nullptr);
  over_.notify_all();
  lock.unlock();
  setup_.link->end_request(request_);
  if (observer) observer->job_is_quiet();
}

std::optional<JobResult> TcpJob::poll() {
  const std::lock_guard lock(mutex_);
  return result_;
}

bool TcpJob::wait_until(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  return over_.wait_until(lock, until, [this] { return result_.has_value(); });
}

}  // namespace kvferry::path::tcp
