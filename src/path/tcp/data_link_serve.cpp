// The owner's part: what a DataLink does with the requests of its peer.
#include <fmt/format.h>

#include <asio/post.hpp>

#include "path/tcp/data_link.hpp"
#include "path/tcp/request.hpp"
#include "path/tcp/staging.hpp"

namespace kvferry::path::tcp {
namespace {

// What one peer may have under way here, and what lists and bitmaps of it may weigh.
constexpr std::uint64_t kMaxServed = 4096;
constexpr std::uint64_t kMaxBytesHeld = 64u << 20;

}  // namespace

// Its runs; and a bit for each chunk.
std::uint64_t DataLink::Share::bytes_of(const wire::MoveRequest& request) noexcept {
  return request.runs_total * std::uint64_t{sizeof(IdRun)} +
         chunk_count(request.bytes, request.chunk_bytes) / 8;
}
DataLink::Share::Share(std::shared_ptr<Load> load, const wire::MoveRequest& of)
    : request(of.request), load_(std::move(load)), bytes_(bytes_of(of)) {
  ++load_->requests;
  load_->bytes += bytes_;
}
DataLink::Share::~Share() {
  --load_->requests;
  load_->bytes -= bytes_;
}

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
  if (load_->requests >= kMaxServed || load_->bytes + Share::bytes_of(request) > kMaxBytesHeld) {
    lock.unlock();
    return refuse(
        id, ErrorCode::resource,
        fmt::format("too much is asked for at once: at most {} transfers of one peer, and "
                    "{} MiB of lists of blocks; wait for some to end",
                    kMaxServed, kMaxBytesHeld >> 20));
  }
  Served& served = served_[id];
  served.share = std::make_shared<const Share>(load_, request);
  served.request = std::move(request);
  served.pool = std::move(pool);
  served.hold = std::move(hold);
  served.asked = Clock::now();
  gathered(lock, served);
}

void DataLink::on(wire::MoveRuns& message) {
  std::unique_lock lock(mutex_);
  const auto found = served_.find(message.request);
  if (found == served_.end()) return;  // refused, or cancelled, meanwhile
  Served& served = found->second;
  wire::MoveRequest& request = served.request;
  if (!served.gathering || request.runs_total - request.runs.size() < message.runs.size())
    throw Error(ErrorCode::refused,
                fmt::format("request {} has more runs than it announced", message.request));
  request.runs.insert(request.runs.end(), message.runs.begin(), message.runs.end());
  gathered(lock, served);
}

void DataLink::gathered(std::unique_lock<std::mutex>& lock, Served& served) {
  if (served.request.runs.size() < served.request.runs_total) return;
  served.gathering = false;
  Served whole = std::move(served);
  served.share = whole.share;
  lock.unlock();
  // Long lists take a while to check, and the control connection must not wait for them.
  const auto place = setup_.threads->place();
  asio::post(place.io(), [self = shared_from_this(), whole = std::move(whole)]() mutable {
    self->lay_out(std::move(whole));
  });
}

DataLink::Served* DataLink::still_served(const Share& share) noexcept {
  const auto found = served_.find(share.request);
  return found != served_.end() && found->second.share.get() == &share ? &found->second : nullptr;
}

void DataLink::forget_served(const Share& share) noexcept {
  Served last;  // let go of outside the lock
  const std::lock_guard lock(mutex_);
  Served* const served = still_served(share);
  if (served == nullptr) return;
  last = std::move(*served);
  served_.erase(share.request);
  incoming_.erase({false, share.request});
}

void DataLink::lay_out(Served served) noexcept {
  const std::uint32_t id = served.share->request;
  try {
    {
      const std::lock_guard lock(mutex_);
      if (still_served(*served.share) == nullptr) return;
    }
    const auto rows = lay_out_request(served.request, *served.pool);
    if (served.request.direction == Direction::pull) {
      begin_serving(served, make_pull(served, rows), nullptr);
    } else {
      begin_serving(served, nullptr, make_push(served, rows));
    }
  } catch (const Error& error) {
    forget_served(*served.share);
    refuse(id, error.code(), error.what());
  } catch (const std::exception& error) {
    forget_served(*served.share);
    refuse(id, ErrorCode::resource, error.what());
  }
}

void DataLink::begin_serving(const Served& served, const std::shared_ptr<Outgoing>& out,
                             const std::shared_ptr<Incoming>& in) {
  const std::uint32_t id = served.share->request;
  {
    const std::lock_guard lock(mutex_);
    Served* const mine = still_served(*served.share);
    if (mine == nullptr) return;  // nothing has begun
    mine->out = out;
    mine->in = in;
    if (in) incoming_[{false, id}] = in;
  }
  if (out) return send(out);
  say(wire::MoveReady{id});
}

StagingOptions DataLink::staging_options(std::uint32_t max_sms, unsigned streams) {
  StagingOptions options;
  options.pools = setup_.stages;
  options.holder = this;
  options.max_sms = max_sms;
  options.streams = streams;
  options.kick = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->kick();
  };
  options.packed = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->kick_idle();
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
  setup.on_quiet = [weak = weak_from_this(), share = served.share,
                    hold = served.hold](const std::string& error) mutable {
    hold.reset();
    const auto mine = std::exchange(share, nullptr);
    const auto self = weak.lock();
    if (!self) return;
    self->forget_served(*mine);
    if (!error.empty()) self->refuse(mine->request, ErrorCode::failed, error);
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
  setup.on_over = [weak = weak_from_this(), share = served.share,
                   hold = served.hold](const Incoming::Outcome& outcome) mutable {
    hold.reset();
    const auto mine = std::exchange(share, nullptr);
    const auto self = weak.lock();
    if (!self) return;
    self->forget_served(*mine);
    wire::MoveEnd end{mine->request, {}, {}, outcome.landed};
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
  Served last;  // let go of outside the lock
  {
    const std::lock_guard lock(mutex_);
    const auto found = served_.find(message.request);
    // Ended meanwhile: its MoveEnd is on its way. Or told so before.
    if (found == served_.end() || std::exchange(found->second.stopped, true)) return;
    out = found->second.out;
    in = found->second.in;
    if (!out && !in) {
      last = std::move(found->second);
      served_.erase(found);
    }
  }
  if (out) return stop(out);
  if (in) return in->stop(ErrorCode::cancelled, "cancelled by the requester");
  // Gathering or being checked: it has written nothing, and will not.
  refuse(message.request, ErrorCode::cancelled, "cancelled by the requester");
}

}  // namespace kvferry::path::tcp
