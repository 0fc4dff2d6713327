#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace kvferry::path::host {

// Something that threads do a bounded step at a time.
class CopyWork {
 public:
  virtual ~CopyWork() = default;
  // Takes one step, of well under a millisecond or two. False: there is none left to take (others
  // may still be in theirs). Called from many threads at once.
  virtual bool step() noexcept = 0;
};

// Threads that copy. They start with the first work and sleep when there is none. Several works
// share them step by step, in turn. At most count() threads copy at once, those that help included.
// Thread-safe.
//
// May be destroyed by one of its own threads (a completion that drops the last handle of all): that
// one ends on its own.
class CopyThreads {
 public:
  // 0: as many as this process may run at once, at most 8: by then memory is the limit, not cores.
  explicit CopyThreads(unsigned threads);
  ~CopyThreads();
  CopyThreads(const CopyThreads&) = delete;
  CopyThreads& operator=(const CopyThreads&) = delete;

  unsigned count() const noexcept { return count_; }
  // Throws: Error{resource} when not even one thread can be started.
  void start();
  // Which threads the caller wakes. Waking all eight takes 10 us; woken by each other they are all
  // there some 100 us later, in bad moments 400.
  enum class Wake { all, one };
  // Requires: start() has returned.
  void post(std::shared_ptr<CopyWork> work, Wake wake = Wake::all);
  // The calling thread takes steps of `work` in the place of one of the threads, until `until`, as
  // long as it is the only work there is: it is awake already, and waking a thread costs as much as
  // copying half a megabyte. Several works are left to the threads, which take turns.
  // Returns whether it took any.
  bool help(const CopyWork& work, std::chrono::steady_clock::time_point until);
  // Done when there is nothing else to do, by one thread at a time, so that a transfer that starts
  // meanwhile finds the others free.
  void post_background(std::shared_ptr<CopyWork> work);

 private:
  struct Queue;
  std::shared_ptr<Queue> queue_;
  unsigned count_ = 0;
};

}  // namespace kvferry::path::host
