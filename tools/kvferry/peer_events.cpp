#include "peer_events.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::cli {

PeerEvents::PeerEvents() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw Error(ErrorCode::resource, "eventfd failed: too many open files?");
}

void PeerEvents::push(const PeerEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    switch (event.kind) {
      case PeerEvent::Kind::connected: ++totals_.clients; break;
      case PeerEvent::Kind::refused: ++totals_.refused; break;
      case PeerEvent::Kind::served:
        ++(event.direction == Direction::pull ? totals_.pulls : totals_.pushes);
        // As peers say: a sum that wraps around would hide what they said before.
        totals_.bytes += std::min(event.bytes, ~totals_.bytes);
        break;
      case PeerEvent::Kind::disconnected: break;
    }
    const bool served = event.kind == PeerEvent::Kind::served;
    if (events_.size() < (served ? kMaxServed : kMax)) {
      events_.push_back(event);
    } else {
      ++dropped_;
    }
  }
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then it is readable anyway.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

PeerEvents::Batch PeerEvents::take() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  Batch batch{{std::make_move_iterator(events_.begin()), std::make_move_iterator(events_.end())},
              std::exchange(dropped_, 0)};
  events_.clear();
  return batch;
}

Totals PeerEvents::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

bool LineBudget::admit(Clock::time_point now) {
  if (now - window_ >= std::chrono::seconds(1) && suppressed_ == 0) {
    window_ = now;
    used_ = 0;
  }
  if (used_ < kPerSecond) {
    ++used_;
    return true;
  }
  ++suppressed_;
  return false;
}

std::uint64_t LineBudget::suppressed(Clock::time_point now) {
  if (suppressed_ == 0 || now - window_ < std::chrono::seconds(1)) return 0;
  window_ = now;
  used_ = 0;
  return std::exchange(suppressed_, 0);
}

}  // namespace kvferry::cli
