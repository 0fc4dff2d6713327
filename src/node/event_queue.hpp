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
// Thread-safe. Bounded: notices come from peers. Of each name only kMaxOfOne wait, so that one peer
// does not use up the room of all; but a peer chooses its name, so their number and their bytes are
// bounded over all names, too. What comes beyond is dropped.
class EventQueue {
 public:
  static constexpr std::size_t kMaxOfOne = 8192;
  static constexpr std::size_t kMaxBytes = 64u << 20;

  // Throws: Error{resource} when no eventfd can be had.
  explicit EventQueue(std::size_t max_notices);
  void push(Completion completion);
  // Why it was dropped; empty: it was not.
  std::string push(Notice notice);
  std::optional<Completion> next_completion();
  std::optional<Notice> next_notice();
  int fd() const noexcept { return fd_.get(); }

 private:
  void raise();
  void settle();

  const std::size_t max_notices_;
  std::mutex mutex_;
  std::deque<Completion> completions_;
  std::deque<Notice> notices_;
  std::size_t notice_bytes_ = 0;
  std::map<std::string, std::size_t> waiting_;  // notices by peer
  bool raised_ = false;
  UniqueFd fd_;
};

}  // namespace kvferry::detail
