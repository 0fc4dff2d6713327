#include "node/ended_transfers.hpp"

#include <asio/post.hpp>

#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

// More than this between two looks, and adding one may allocate; the thread is woken then.
constexpr std::size_t kUsualTransfers = 256;
// Some 700 bytes each; as many again may be being told. Then posting waits, but not for long: the
// thread may wait for something that whoever posts holds.
constexpr std::size_t kMostTransfers = 4096;
constexpr auto kPatience = std::chrono::milliseconds(20);
constexpr auto kTick = std::chrono::milliseconds(1);
// It goes on looking for so long after the last.
constexpr auto kLinger = std::chrono::milliseconds(20);

}  // namespace

EndedTransfers::EndedTransfers(asio::io_context& io) : io_(io), timer_(io) {
  waiting_.reserve(kUsualTransfers);
  being_told_.reserve(kUsualTransfers);
}

void EndedTransfers::add(Ended ended, bool at_once) {
  bool wake = at_once;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(ended));
    wake |= !std::exchange(looking_, true) || waiting_.size() == kUsualTransfers;
    if (waiting_.size() >= kMostTransfers) full_.store(true, std::memory_order_relaxed);
  }
  if (wake) asio::post(io_, [self = shared_from_this()] { self->look(); });
}

void EndedTransfers::make_room(const PeerImpl& peer) {
  const auto room = [&] { return !full_.load(std::memory_order_relaxed) && !peer.is_slow(); };
  if (room() || io_.get_executor().running_in_this_thread()) return;
  std::unique_lock lock(mutex_);
  room_.wait_for(lock, kPatience, room);
}

void EndedTransfers::drain() {
  {
    std::lock_guard lock(mutex_);
    being_told_.swap(waiting_);
    if (full_.exchange(false, std::memory_order_relaxed)) room_.notify_all();
  }
  if (!being_told_.empty()) last_ = Clock::now();
  for (Ended& ended : being_told_) {
    ended.route.reset();
    ended.peer->say_last_words(*ended.transfer);
    if (!ended.peer->is_slow() && ended.peer->look_whether_slow()) slow_.push_back(ended.peer);
  }
  being_told_.clear();
}

void EndedTransfers::look_at_slow() {
  if (slow_.empty()) return;
  std::erase_if(slow_, [](const auto& peer) { return !peer->look_whether_slow(); });
  last_ = Clock::now();  // as long as one is slow, it is looked at
  std::lock_guard lock(mutex_);
  room_.notify_all();
}

void EndedTransfers::look() {
  drain();
  look_at_slow();
  if (Clock::now() >= last_ + kLinger) {
    std::lock_guard lock(mutex_);
    looking_ = !waiting_.empty();
    if (!looking_) return;
  }
  timer_.expires_after(kTick);
  timer_.async_wait([weak = weak_from_this()](std::error_code stopped) {
    const auto self = weak.lock();
    if (self && !stopped) self->look();
  });
}

}  // namespace kvferry::detail
