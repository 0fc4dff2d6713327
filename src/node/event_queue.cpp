#include "node/event_queue.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>

#include "kvferry/error.hpp"

namespace kvferry::detail {

namespace {

std::size_t bytes_of(const Notice& notice) {
  return sizeof notice + notice.peer.size() + notice.pool.size() + notice.text.size() +
         notice.path.size();
}

}  // namespace

EventQueue::EventQueue(std::size_t max_notices)
    : max_notices_(max_notices), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_)
    throw Error(ErrorCode::resource, std::string("no eventfd: ") + std::strerror(errno) +
                                         "; raise the limit of open files (ulimit -n)");
}

void EventQueue::push(Completion completion) {
  std::lock_guard lock(mutex_);
  completions_.push_back(std::move(completion));
  raise();
}

std::string EventQueue::push(Notice notice) {
  const std::size_t bytes = bytes_of(notice);
  std::lock_guard lock(mutex_);
  if (notices_.size() >= max_notices_)
    return fmt::format("{} wait to be read (NodeOptions::max_notices)", notices_.size());
  if (notice_bytes_ + bytes > kMaxBytes)
    return fmt::format("{} MiB of them wait to be read", kMaxBytes >> 20);
  std::size_t& waiting = waiting_[notice.peer];
  if (waiting >= kMaxOfOne) return fmt::format("{} of that peer wait to be read", waiting);
  ++waiting;
  notice_bytes_ += bytes;
  notices_.push_back(std::move(notice));
  raise();
  return {};
}

std::optional<Completion> EventQueue::next_completion() {
  std::lock_guard lock(mutex_);
  if (completions_.empty()) return std::nullopt;
  std::optional<Completion> next(std::move(completions_.front()));
  completions_.pop_front();
  settle();
  return next;
}

std::optional<Notice> EventQueue::next_notice() {
  std::lock_guard lock(mutex_);
  if (notices_.empty()) return std::nullopt;
  std::optional<Notice> next(std::move(notices_.front()));
  notices_.pop_front();
  notice_bytes_ -= bytes_of(*next);
  if (--waiting_[next->peer] == 0) waiting_.erase(next->peer);
  settle();
  return next;
}

void EventQueue::raise() {
  if (raised_) return;
  raised_ = true;
  // Cannot fail: the counter is 0 or 1.
  [[maybe_unused]] const int rc = ::eventfd_write(fd_.get(), 1);
}

void EventQueue::settle() {
  if (!raised_ || !completions_.empty() || !notices_.empty()) return;
  raised_ = false;
  eventfd_t ignored = 0;
  [[maybe_unused]] const int rc = ::eventfd_read(fd_.get(), &ignored);
}

}  // namespace kvferry::detail
