#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"
#include "kvferry/node.hpp"

namespace kvferry::detail {

// What a node has to tell its user, with an eventfd that is readable while something waits.
// Thread-safe. Bounded: notices come from peers, so of each peer only kMaxNotices wait; what comes
// beyond is dropped and counted.
class EventQueue {
 public:
  static constexpr std::size_t kMaxNotices = 8192;  // of one peer

  // Throws: Error{resource} when no eventfd can be had.
  EventQueue();
  void push(Completion completion);
  // False: dropped, too many of this peer's wait already.
  bool push(Notice notice);
  std::optional<Completion> next_completion();
  std::optional<Notice> next_notice();
  int fd() const noexcept { return fd_.get(); }

 private:
  void raise();
  void settle();

  std::mutex mutex_;
  std::deque<Completion> completions_;
  std::deque<Notice> notices_;
  std::map<std::string, std::size_t> waiting_;  // notices by peer
  bool raised_ = false;
  UniqueFd fd_;
};

}  // namespace kvferry::detail
