#include "node/ended_transfers.hpp"

#include <asio/post.hpp>

#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

// More than this between two looks, and adding one may allocate.
constexpr std::size_t kUsualTransfers = 256;
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
    wake |= !std::exchange(looking_, true);
  }
  if (wake) asio::post(io_, [self = shared_from_this()] { self->look(); });
}

void EndedTransfers::drain() {
  {
    std::lock_guard lock(mutex_);
    being_told_.swap(waiting_);
  }
  if (!being_told_.empty()) last_ = Clock::now();
  for (Ended& ended : being_told_) {
    ended.route.reset();
    ended.peer->say_last_words(*ended.transfer);
  }
  being_told_.clear();
}

void EndedTransfers::look() {
  drain();
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
