#include "registry/announcer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kvferry/error.hpp"
#include "registry/record.hpp"
#include "wire/text.hpp"

namespace kvferry::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How often the holder of a name is looked at, and how much longer than its lease it may take etcd
// to end it (it looks every half second).
constexpr milliseconds kLook{200};
constexpr seconds kSlack{2};
constexpr milliseconds kRounding{1200};
// Longer than this the end of a process does not wait for a registry.
constexpr milliseconds kGoodbye{1000};

std::string describe(const registry::Entry& holder) {
  try {
    const RegisteredPeer peer = registry::decode(holder.name, holder.value).peer;
    return fmt::format("pid {} on {} at {}", peer.pid, peer.host, peer.addresses.front());
  } catch (const Error&) {
    return "something that is no node of this release";
  }
}

}  // namespace

Announcer::Announcer(std::unique_ptr<registry::Store> store, Setup setup)
    : store_(std::move(store)), setup_(std::move(setup)), pause_(setup_.first_pause) {
  register_first();
  thread_ = std::thread([this] { run(); });
}

Announcer::~Announcer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    // Before the thread can see that it is to stop: its last request must not be the one given up.
    store_->interrupt();
  }
  wake_.notify_all();
  thread_.join();
}

void Announcer::log(LogLevel level, const std::string& text) const {
  if (setup_.log) setup_.log(level, text);
}

void Announcer::set_health(std::string_view word) {
  if (!word.empty() && !wire::is_name(word))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("health '{}': a word has 1 to 64 of [A-Za-z0-9._-]",
                            wire::printable(word, 100)));
  {
    std::lock_guard lock(mutex_);
    health_ = word;
    due_ = true;
  }
  wake_.notify_all();
}

std::optional<registry::Entry> Announcer::claim() {
  std::string word;
  {
    std::lock_guard lock(mutex_);
    word = health_;
    due_ = false;
  }
  if (!lease_) lease_ = store_->grant(setup_.time_to_live);
  try {
    auto holder = store_->claim({setup_.name, setup_.value(word), lease_->id});
    registered_ = !holder;
    return holder;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed) throw;
    // Ended between two calls: the next attempt takes a new one.
    lease_.reset();
    throw Error(ErrorCode::unreachable, fmt::format("the lease was lost: {}", error.what()));
  }
}

bool Announcer::holder_is_gone(const registry::Entry& holder) {
  const auto taken = [&](std::string_view why) {
    return Error(
        ErrorCode::refused,
        fmt::format("the name '{}' is taken by {}, {}; give this node another name or stop "
                    "that one",
                    setup_.name, describe(holder), why));
  };
  if (holder.lease == 0)
    throw taken("in an entry without a lease, which somebody made by hand: delete it");
  auto left = store_->time_left(holder.lease);
  if (!left) return true;
  log(LogLevel::info,
      fmt::format("the name '{}' is held by {}; waiting at most {} s to see whether "
                  "it is alive",
                  setup_.name, describe(holder), (*left + kSlack).count()));
  const auto began = std::chrono::steady_clock::now();
  for (;;) {
    std::this_thread::sleep_for(kLook);
    const auto now = store_->time_left(holder.lease);
    if (!now) return true;
    // etcd tells whole seconds. What is not renewed cannot have more than this left, and has ended
    // (or very nearly so) once this is nothing.
    const auto elapsed = std::chrono::steady_clock::now() - began;
    if (*now + elapsed > *left + kRounding) {
      if (*now > seconds(0)) throw taken("which is alive");
      if (elapsed > *left + kSlack) throw taken("whose lease does not end");
    }
  }
}

void Announcer::register_first() {
  try {
    while (const auto holder = claim()) {
      // Nobody renews ours while we wait: the next attempt takes a new one.
      store_->revoke(*std::exchange(lease_, std::nullopt), kGoodbye);
      holder_is_gone(*holder);
    }
  } catch (...) {
    // The lease would end by itself: this only tidies up.
    try {
      if (lease_) store_->revoke(*lease_, kGoodbye);
    } catch (const Error&) {
    }
    throw;
  }
}

milliseconds Announcer::renewal() const {
  return milliseconds(lease_ ? lease_->time_to_live : setup_.time_to_live) / 3;
}

void Announcer::lost(const std::string& why) {
  registered_ = false;
  if (complaint_.empty())
    log(LogLevel::warning, fmt::format("{}; transfers go on, and '{}' is registered again as soon "
                                       "as it is possible",
                                       why, setup_.name));
  complaint_ = why;
  pause(pause_);
  pause_ = std::min(pause_ * 2, setup_.last_pause);
}

void Announcer::found() {
  if (!complaint_.empty())
    log(LogLevel::info, fmt::format("'{}' is registered again", setup_.name));
  complaint_.clear();
  pause_ = setup_.first_pause;
}

void Announcer::renew() {
  if (lease_ && !store_->keep_alive(*lease_)) lease_.reset();
  const auto holder = claim();
  if (holder)
    return lost(
        fmt::format("the name '{}' was taken by {} meanwhile", setup_.name, describe(*holder)));
  found();
  pause(renewal());
}

void Announcer::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  // A word to tell is told at once, but not to a registry that is not there.
  const bool healthy = complaint_.empty();
  wake_.wait_for(lock, time, [&] { return stop_ || (due_ && healthy); });
}

void Announcer::run() {
  pause(renewal());
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stop_) break;
    }
    try {
      renew();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::cancelled) lost(error.what());
    } catch (const std::exception& error) {
      lost(error.what());
    }
  }
  store_->resume();
  try {
    if (lease_) store_->revoke(*lease_, kGoodbye);
  } catch (const std::exception& error) {
    log(LogLevel::warning,
        fmt::format("the entry '{}' stays until its lease ends: {}", setup_.name, error.what()));
  }
}

}  // namespace kvferry::detail
