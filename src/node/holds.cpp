#include "node/holds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "session/identity.hpp"

namespace kvferry::detail {
namespace {

// A process that is gone says nothing: its pidfd is looked at this often while somebody waits.
constexpr auto kLookInterval = std::chrono::milliseconds(20);

}  // namespace

void Holds::peer_granted(std::uint64_t peer, const std::string& name, const PoolImpl* pool,
                         bool writable) {
  std::lock_guard lock(mutex_);
  sweep();
  for (PeerHold& hold : peers_) {
    if (hold.peer != peer || hold.pool != pool) continue;
    ++hold.grants;
    hold.writable |= writable;
    return;
  }
  PeerHold hold;
  hold.peer = peer;
  hold.name = name;
  hold.pool = pool;
  hold.writable = writable;
  hold.grants = 1;
  peers_.push_back(std::move(hold));
}

void Holds::peer_unmapped(std::uint64_t peer, const PoolImpl* pool) {
  std::lock_guard lock(mutex_);
  const auto hold = std::find_if(peers_.begin(), peers_.end(), [&](const PeerHold& h) {
    return h.peer == peer && h.pool == pool;
  });
  if (hold == peers_.end()) return;
  if (--hold->grants == 0) peers_.erase(hold);
  changed_.notify_all();
}

void Holds::peer_gone(std::uint64_t peer, pid_t pid, std::shared_ptr<const UniqueFd> pidfd) {
  std::lock_guard lock(mutex_);
  sweep();
  for (auto hold = peers_.begin(); hold != peers_.end();) {
    if (hold->peer != peer) {
      ++hold;
      continue;
    }
    // A process that connects and vanishes again and again is one holder, with one pidfd.
    const auto twin = std::find_if(peers_.begin(), peers_.end(), [&](const PeerHold& h) {
      return h.gone && h.pid == pid && pid != 0 && h.pool == hold->pool;
    });
    if (twin != peers_.end()) {
      twin->writable |= hold->writable;
      hold = peers_.erase(hold);
      continue;
    }
    hold->gone = true;
    hold->gone_since = Clock::now();
    hold->pid = pid;
    hold->pidfd = pidfd;
    ++hold;
  }
}

void Holds::peer_left(std::uint64_t peer) {
  std::lock_guard lock(mutex_);
  peers_.remove_if([&](const PeerHold& hold) { return hold.peer == peer; });
  changed_.notify_all();
}

void Holds::route_opened(const PoolImpl* pool) {
  std::lock_guard lock(mutex_);
  for (RouteHold& hold : routes_) {
    if (hold.pool == pool) {
      ++hold.routes;
      return;
    }
  }
  routes_.push_back({pool, 1});
}

void Holds::route_closed(const PoolImpl* pool) {
  std::lock_guard lock(mutex_);
  routes_.remove_if([&](RouteHold& hold) { return hold.pool == pool && --hold.routes == 0; });
  changed_.notify_all();
}

bool Holds::has_ended(PeerHold& hold, Clock::time_point now) {
  if (!hold.gone) return false;
  if (!hold.exited) {
    const bool known = hold.pidfd && *hold.pidfd;
    hold.exited =
        known ? session::has_exited(hold.pidfd->get()) : now - hold.gone_since > kBlindWait;
    hold.exited_at = now;
  }
  return hold.exited && (!hold.writable || now - hold.exited_at >= kQuarantine);
}

void Holds::sweep() {
  const auto now = Clock::now();
  peers_.remove_if([&](PeerHold& hold) { return has_ended(hold, now); });
}

bool Holds::wait_until_free(const PoolImpl* pool, Clock::time_point until, std::string* who) {
  std::unique_lock lock(mutex_);
  for (;;) {
    sweep();
    who->clear();
    for (const PeerHold& hold : peers_)
      if (hold.pool == pool)
        fmt::format_to(std::back_inserter(*who), "{}{}{}", who->empty() ? "" : ", ", hold.name,
                       hold.gone ? " (disconnected, its process still runs)" : "");
    for (const RouteHold& hold : routes_)
      if (hold.pool == pool)
        fmt::format_to(std::back_inserter(*who), "{}{} transfer or mapping of this process",
                       who->empty() ? "" : ", ", hold.routes);
    if (who->empty()) return true;
    const auto now = Clock::now();
    if (now >= until) return false;
    changed_.wait_until(lock, std::min(until, now + kLookInterval));
  }
}

}  // namespace kvferry::detail
