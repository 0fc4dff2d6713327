#include "path/tcp/data_link.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kvferry::path::tcp {
namespace {

// How long the chunk under way of a stopped transfer may take to get through; then its stream is
// closed. On a network that moves at all, a chunk takes milliseconds.
constexpr auto kLastChunkTime = std::chrono::milliseconds(100);

}  // namespace

void DataLink::say(wire::Message message) {
  if (const auto control = setup_.control.lock()) control->say(std::move(message));
}

// ---- out ----

void DataLink::send(const std::shared_ptr<Outgoing>& outgoing) {
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed) outbox_.push_back(outgoing);
  }
  if (closed) return outgoing->stop();
  kick_idle();
}

void DataLink::kick_idle() {
  std::vector<std::shared_ptr<Stream>> idle;
  {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return;
    for (const auto& stream : streams_)
      if (idle_.erase(stream.get()) != 0) idle.push_back(stream);
  }
  for (const auto& stream : idle) stream->kick();
}

void DataLink::kick() {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const std::lock_guard lock(mutex_);
    streams = streams_;
    idle_.clear();
  }
  for (const auto& stream : streams) stream->kick();
}

// The transfers take turns, chunk by chunk.
bool DataLink::take(Stream& stream, OutChunk& chunk, Clock::time_point& when) {
  std::vector<std::shared_ptr<Outgoing>> over;
  const bool taken = take_one(stream, chunk, when, over);
  // One that failed in its turn is told so here, without the lock.
  for (const auto& outgoing : over) outgoing->stop();
  return taken;
}

bool DataLink::take_one(Stream& stream, OutChunk& chunk, Clock::time_point& when,
                        std::vector<std::shared_ptr<Outgoing>>& over) {
  const std::lock_guard lock(mutex_);
  for (std::size_t left = outbox_.size(); left > 0; --left) {
    auto outgoing = std::move(outbox_.front());
    outbox_.pop_front();
    Clock::time_point at;
    const auto next = outgoing->next(chunk, at);
    if (next == Outgoing::Next::none) {
      over.push_back(std::move(outgoing));
      continue;
    }
    outbox_.push_back(std::move(outgoing));
    if (next == Outgoing::Next::chunk) return true;
    when = std::min(when, at);
  }
  idle_.insert(&stream);
  return false;
}

void DataLink::stop(const std::shared_ptr<Outgoing>& outgoing) noexcept {
  outgoing->stop();
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const std::lock_guard lock(mutex_);
    streams = streams_;
    std::erase(outbox_, outgoing);
  }
  for (const auto& stream : streams) stream->close_if_sending_after(outgoing, kLastChunkTime);
}

// ---- in ----

std::shared_ptr<Incoming> DataLink::incoming_for(const ChunkHeader& header) {
  const std::lock_guard lock(mutex_);
  const auto found = incoming_.find({header.answers, header.request});
  return found == incoming_.end() ? nullptr : found->second;
}

void DataLink::expect(std::uint32_t request, std::shared_ptr<Incoming> incoming) {
  const std::lock_guard lock(mutex_);
  incoming_[{true, request}] = std::move(incoming);
}

// ---- requests of ours ----

std::uint32_t DataLink::draw_request() {
  const std::lock_guard lock(mutex_);
  while (requests_.count(next_request_) != 0) ++next_request_;
  return next_request_++;
}

void DataLink::begin_request(std::uint32_t request, const std::shared_ptr<Requester>& requester) {
  const std::lock_guard lock(mutex_);
  if (closed_) throw Error(ErrorCode::unreachable, closed_why_);
  if (streams_.empty()) throw Error(ErrorCode::unreachable, "the data streams broke just now");
  requests_[request] = requester;
}

void DataLink::end_request(std::uint32_t request) noexcept {
  std::shared_ptr<Incoming> last;  // let go of outside the lock
  const std::lock_guard lock(mutex_);
  requests_.erase(request);
  const auto found = incoming_.find({true, request});
  if (found == incoming_.end()) return;
  last = std::move(found->second);
  incoming_.erase(found);
}

std::shared_ptr<Requester> DataLink::requester_of(std::uint32_t request) {
  const std::lock_guard lock(mutex_);
  const auto found = requests_.find(request);
  return found == requests_.end() ? nullptr : found->second.lock();
}

// An answer to a request that has ended here meanwhile is no news.
void DataLink::on(const wire::MoveReady& message) {
  if (const auto requester = requester_of(message.request)) requester->ready();
}
void DataLink::on(const wire::MoveEnd& message) {
  // Of a link that is being closed the owner sees streams break, and may say so before every
  // requester here has heard the reason.
  if (message.failure) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
  }
  if (const auto requester = requester_of(message.request)) requester->ended(message);
}

// ---- the end ----

void DataLink::stream_broke(Stream& stream, const std::string& why) noexcept {
  drop_all(why, &stream, false);
}

void DataLink::close(const std::string& why) noexcept { drop_all(why, nullptr, true); }

void DataLink::drop_all(const std::string& why, Stream* broken, bool for_good) noexcept {
  Dropped all;
  {
    const std::lock_guard lock(mutex_);
    const bool known =
        broken == nullptr || std::any_of(streams_.begin(), streams_.end(),
                                         [&](const auto& s) { return s.get() == broken; });
    if (!known || (for_good && closed_)) return;
    if (for_good) {
      closed_ = true;
      closed_why_ = why;
    }
    all = take_all();
  }
  tell(all, why, broken, for_good);
}

DataLink::Dropped DataLink::take_all() noexcept {
  Dropped all;
  all.streams.swap(streams_);
  all.outbox.swap(outbox_);
  all.incoming.swap(incoming_);
  all.requests = requests_;
  all.served.swap(served_);
  idle_.clear();
  if (!all.streams.empty()) {
    epoch_over_ = true;
    trouble();
  }
  opening_.over = true;
  streams_changed_.notify_all();
  return all;
}

void DataLink::tell(const Dropped& all, const std::string& why, const Stream* broken,
                    bool for_good) noexcept {
  // Our requests first: what the peer then has to say of the end is not why it came.
  for (const auto& [key, in] : all.incoming) in->stop(ErrorCode::unreachable, why);
  for (const auto& [id, request] : all.requests)
    if (const auto requester = request.lock()) requester->lost(why, for_good);
  for (const auto& stream : all.streams)
    if (stream.get() != broken) stream->close(why);
  for (const auto& out : all.outbox) out->stop();
  // Those being checked, or waiting for their runs, know it by not being found.
}

}  // namespace kvferry::path::tcp
