// The owner's part: what a DataLink does with the requests of its peer.
#include <fmt/format.h>

#include <asio/post.hpp>

#include "path/tcp/data_link.hpp"
#include "path/tcp/request.hpp"
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {
namespace {

// What one peer may have under way here: each costs a little memory, and its runs 12 bytes each.
constexpr std::size_t kMaxServed = 4096;
constexpr std::uint64_t kMaxRunsHeld = 4u << 20;

}  // namespace

void DataLink::refuse(std::uint32_t request, ErrorCode code, const std::string& why) {
  say(wire::MoveEnd{request, code, why, 0});
}

void DataLink::serve(wire::MoveRequest request, std::shared_ptr<detail::PoolImpl> pool,
                     std::shared_ptr<void> hold) {
  const std::uint32_t id = request.request;
  std::unique_lock lock(mutex_);
  if (closed_) return;
  if (served_.count(id) != 0)
    throw Error(ErrorCode::refused, fmt::format("it uses the number {} for two requests", id));
  const bool full = served_.size() >= kMaxServed || runs_held_ + request.runs_total > kMaxRunsHeld;
  if (full) {
    lock.unlock();
    return refuse(id, ErrorCode::resource,
                  fmt::format("too much is asked for at once: at most {} transfers and {} pieces "
                              "of one peer; wait for some to end",
                              kMaxServed, kMaxRunsHeld));
  }
  runs_held_ += request.runs_total;
  Served& served = served_[id];
  served.request = std::move(request);
  served.pool = std::move(pool);
  served.hold = std::move(hold);
  served.asked = Clock::now();
  gathered(lock, id);
}

void DataLink::on(wire::MoveRuns& message) {
  std::unique_lock lock(mutex_);
  const auto found = served_.find(message.request);
  if (found == served_.end()) return;  // refused, or cancelled, meanwhile
  wire::MoveRequest& request = found->second.request;
  if (request.runs_total - request.runs.size() < message.runs.size())
    throw Error(ErrorCode::refused,
                fmt::format("request {} has more runs than it announced", message.request));
  request.runs.insert(request.runs.end(), message.runs.begin(), message.runs.end());
  gathered(lock, message.request);
}

void DataLink::gathered(std::unique_lock<std::mutex>& lock, std::uint32_t id) {
  Served& served = served_[id];
  if (served.request.runs.size() < served.request.runs_total) return;
  Served copy = std::move(served);
  served.request.runs_total = copy.request.runs_total;
  lock.unlock();
  // Long lists take a while to check, and the control connection must not wait for them.
  const auto place = setup_.threads->place();
  asio::post(place.io(), [self = shared_from_this(), id, copy = std::move(copy)]() mutable {
    self->lay_out(id, std::move(copy));
  });
}

void DataLink::forget_served(std::uint32_t id) noexcept {
  Served last;  // let go of outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = served_.find(id);
  if (found == served_.end()) return;
  runs_held_ -= found->second.request.runs_total;
  last = std::move(found->second);
  served_.erase(found);
  incoming_.erase({false, id});
}

void DataLink::lay_out(std::uint32_t id, Served served) noexcept {
  const bool pull = served.request.direction == Direction::pull;
  try {
    const auto rows = lay_out_request(served.request, *served.pool);
    std::shared_ptr<Outgoing> out;
    std::shared_ptr<Incoming> in;
    if (pull) {
      out = make_pull(served, rows);
    } else {
      in = make_push(served, rows);
    }
    {
      const std::lock_guard lock(mutex_);
      const auto found = served_.find(id);
      if (found == served_.end()) return;  // cancelled meanwhile: nothing has begun
      found->second.out = out;
      found->second.in = in;
      if (in) incoming_[{false, id}] = in;
    }
    if (pull) return send(out);
    say(wire::MoveReady{id});
  } catch (const Error& error) {
    forget_served(id);
    refuse(id, error.code(), error.what());
  } catch (const std::exception& error) {
    forget_served(id);
    refuse(id, ErrorCode::resource, error.what());
  }
}

StagingOptions DataLink::staging_options(std::uint32_t max_sms, unsigned streams) {
  StagingOptions options;
  options.pools = setup_.stages;
  options.max_sms = max_sms;
  options.streams = streams;
  options.kick = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->kick();
  };
  return options;
}

std::shared_ptr<Outgoing> DataLink::make_pull(const Served& served,
                                              std::shared_ptr<const PackedRows> rows) {
  const wire::MoveRequest& request = served.request;
  Outgoing::Setup setup;
  setup.request = request.request;
  setup.answers = true;
  setup.bytes = request.bytes;
  setup.chunk_bytes = request.chunk_bytes;
  setup.checked = request.checked;
  setup.max_streams = request.max_streams;
  setup.limits = {setup_.limit};
  if (request.bytes_per_s != 0)
    setup.limits.push_back(std::make_shared<RateLimit>(request.bytes_per_s));
  setup.on_quiet = [weak = weak_from_this(), id = request.request,
                    hold = served.hold](const std::string& error) mutable {
    hold.reset();
    const auto self = weak.lock();
    if (!self) return;
    self->forget_served(id);
    if (!error.empty()) self->refuse(id, ErrorCode::failed, error);
  };
  const StagingOptions options = staging_options(0, request.max_streams);
  return make_outgoing(std::move(setup), std::move(rows), served.pool, options);
}

std::shared_ptr<Incoming> DataLink::make_push(const Served& served,
                                              std::shared_ptr<const PackedRows> rows) {
  const wire::MoveRequest& request = served.request;
  Incoming::Setup setup;
  setup.bytes = request.bytes;
  setup.chunk_bytes = request.chunk_bytes;
  setup.checked = request.checked;
  if (request.time_left_us != 0)
    setup.deadline = served.asked + std::chrono::microseconds(request.time_left_us);
  setup.hear_first = [control = setup_.control](std::function<void()> then) {
    if (const auto alive = control.lock()) alive->hear_first(std::move(then));
  };
  setup.on_over = [weak = weak_from_this(), id = request.request,
                   hold = served.hold](const Incoming::Outcome& outcome) mutable {
    hold.reset();
    const auto self = weak.lock();
    if (!self) return;
    self->forget_served(id);
    wire::MoveEnd end{id, {}, {}, outcome.landed};
    if (!outcome.complete) {
      end.failure = outcome.why;
      end.message = outcome.error;
    }
    self->say(std::move(end));
  };
  const StagingOptions options = staging_options(0, request.max_streams);
  return make_incoming(std::move(setup), std::move(rows), served.pool, options);
}

void DataLink::on(const wire::MoveCancel& message) {
  std::shared_ptr<Outgoing> out;
  std::shared_ptr<Incoming> in;
  bool unknown = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = served_.find(message.request);
    unknown = found == served_.end();
    if (!unknown) {
      out = found->second.out;
      in = found->second.in;
    }
  }
  if (out) return stop(out);
  if (in) return in->stop(ErrorCode::cancelled, "cancelled by the requester");
  // Gathering or being checked: it has written nothing, and will not. Ended meanwhile: its MoveEnd
  // is on its way, and a second one is no harm.
  forget_served(message.request);
  if (!unknown) refuse(message.request, ErrorCode::cancelled, "cancelled by the requester");
}

}  // namespace kvferry::path::tcp
