#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvferry::path {

class CudaJob;

// A lane's thread: goes on posting engine copies of transfers too long to post at once, and sees to
// it that the end of every copy is noticed, whether somebody waits for it or not. Sleeps while
// there is nothing to do. Thread-safe.
//
// Asking CUDA for a callback would do the same, at the cost of 3 to 8 us in the call that posts,
// and 40 to 150 us late (measured, H200); and most copies have a waiter, who sees the end first.
class Watcher {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts the thread. Throws: Error{resource} where none can be started.
  Watcher();
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Looks after a job from `when` on, if it is still there then. Allocates nothing once it has seen
  // as many jobs at a time.
  void add(const std::shared_ptr<CudaJob>& job, Clock::time_point when);
  // Whether this is the thread of some watcher. It must not destroy a Lane, whose watcher it cannot
  // join where that is its own; nor a mapping, which takes long.
  static bool is_this_thread() noexcept;

 private:
  struct Watched {
    std::weak_ptr<CudaJob> job;
    Clock::time_point when;
  };
  void run();
  // Waits until something is due; false when it is time to end.
  bool await_work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Watched> added_;
  Clock::time_point wakes_at_ = Clock::time_point::max();  // the thread, if nobody wakes it
  bool ending_ = false;
  Clock::time_point last_added_{};  // the thread's own, as is:
  std::vector<Watched> watched_;
  std::thread thread_;
};

}  // namespace kvferry::path
