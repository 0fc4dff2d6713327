// How a DataLink comes by its streams.
#include <fmt/format.h>

#include <algorithm>

#include "path/tcp/data_link.hpp"

namespace kvferry::path::tcp {
namespace {

// Whoever dials gives up after five; the peer that dials for us may not tell.
constexpr auto kRoundTime = std::chrono::seconds(6);
// Between a round that came to nothing, or streams that broke, and the next one: twice as long each
// time, until streams have held for a while.
constexpr std::chrono::milliseconds kFirstPause{10}, kLongestPause{1000};
constexpr auto kHeld = std::chrono::seconds(5);

}  // namespace

std::string DataLink::why_not(Clock::time_point until) const {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return closed_why_;
    if (!streams_.empty()) return {};
  }
  const auto control = setup_.control.lock();
  return control ? control->why_no_streams(until) : "the connection is over";
}

void DataLink::adopt(NetThreads::Place place, std::unique_ptr<WireSocket> wire,
                     const Greeting& greeting, bool answer) {
  if (!enter_epoch(greeting.epoch)) return;
  std::string used =
      tune_socket(wire->fd(), setup_.congestion.empty() ? greeting.congestion : setup_.congestion);
  std::string kind = wire->name();
  WireSocket& socket = *wire;
  const auto stream =
      std::make_shared<Stream>(std::move(place), std::move(wire), shared_from_this());
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return stream->close(closed_why_);
    if (greeting.epoch != epoch_ || (asks_ && epoch_over_))
      return stream->close("it came too late");
    if (streams_.size() >= wire::kMaxStreams)
      return stream->close("the peer opened more data streams than one may");
    streams_.push_back(stream);
    congestion_used_ = std::move(used);
    wire_used_ = std::move(kind);
    streams_changed_.notify_all();
  }
  // Before it is answered the requester asks for nothing that would want this stream.
  if (answer) answer_greeting(socket, greeting);
  stream->start();
  stream->kick();
}

bool DataLink::enter_epoch(std::uint32_t epoch) {
  // In one step: the next stream of this epoch may be adopted by another thread already.
  std::optional<Dropped> old;
  {
    const std::lock_guard lock(mutex_);
    if (epoch < epoch_ || (epoch == epoch_ && asks_ && epoch_over_)) return false;
    if (epoch > epoch_ && !streams_.empty()) old = take_all();
    epoch_ = epoch;
  }
  if (old) tell(*old, "the requester opened new data streams", nullptr, false);
  return true;
}

bool DataLink::is_opening(Clock::time_point now) const noexcept {
  return !opening_.over && now < opening_.began + kRoundTime;
}

// Under the lock.
void DataLink::trouble() noexcept {
  const auto now = Clock::now();
  if (now > opening_.began + kHeld) opening_.pause = {};
  opening_.pause = std::clamp(2 * opening_.pause, kFirstPause, kLongestPause);
  opening_.next = now + opening_.pause;
}

void DataLink::streams_opened(std::uint32_t round) {
  const std::lock_guard lock(mutex_);
  if (round != opening_.round || opening_.over) return;
  opening_.over = true;
  if (opening_.failed || streams_.empty()) trouble();
  streams_changed_.notify_all();
}

void DataLink::streams_refused(std::uint32_t round, ErrorCode code, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (round != opening_.round || opening_.over) return;
  opening_.failed = code;
  opening_.why = why;
}

void DataLink::begin_round(std::unique_lock<std::mutex>& lock, unsigned count) {
  const auto have = static_cast<unsigned>(streams_.size());
  const auto control = setup_.control.lock();
  if (!control) throw Error(ErrorCode::unreachable, "the connection is over");
  if (have == 0) {
    ++epoch_;
    epoch_over_ = false;
  }
  const std::uint32_t epoch = epoch_, round = ++opening_.round;
  opening_.wanted = count;
  opening_.over = false;
  opening_.failed.reset();
  opening_.began = Clock::now();
  lock.unlock();
  control->open_streams(count - have, epoch, round);
  lock.lock();
}

unsigned DataLink::ensure_streams(unsigned count, Clock::time_point until) {
  std::unique_lock lock(mutex_);
  asks_ = true;
  // A transfer that could begin with fewer keeps most of its time for that.
  const auto begin = Clock::now();
  const auto enough_waited = begin + std::max(until - begin, Clock::duration::zero()) / 4;
  std::uint32_t waited_for = 0;  // a round that was to bring enough
  for (;;) {
    const auto have = static_cast<unsigned>(streams_.size());
    const auto now = Clock::now();
    if (closed_) throw Error(ErrorCode::unreachable, closed_why_);
    if (have >= count) return have;
    const bool tried = waited_for == opening_.round && waited_for != 0 && !is_opening(now);
    if (have > 0 && (tried || now >= enough_waited)) return have;
    if (tried && opening_.failed)
      throw Error(*opening_.failed,
                  fmt::format("no data stream could be opened: {}", opening_.why));
    if (now >= until)
      throw Error(ErrorCode::deadline,
                  "no data stream was opened in time; is the peer stopped, or a firewall between?");
    if (is_opening(now)) {
      if (opening_.wanted >= count) waited_for = opening_.round;
      streams_changed_.wait_until(
          lock, std::min(have > 0 ? enough_waited : until, opening_.began + kRoundTime));
    } else if (now < opening_.next) {
      if (have > 0) return have;
      streams_changed_.wait_until(lock, std::min(until, opening_.next));
    } else {
      begin_round(lock, count);
      waited_for = opening_.round;
    }
  }
}

std::string DataLink::describe(unsigned streams) const {
  const std::lock_guard lock(mutex_);
  const auto used = std::min(streams, static_cast<unsigned>(streams_.size()));
  return fmt::format("{} {} stream{}{}{}", used, wire_used_, used == 1 ? "" : "s",
                     congestion_used_.empty() ? "" : ", ", congestion_used_);
}

}  // namespace kvferry::path::tcp
