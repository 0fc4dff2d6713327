#pragma once

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvferry::path::tcp {

// Threads that move bytes through sockets, each with an event loop of its own, asleep while none of
// its streams has anything to do. They start with the first use. A stream stays on the thread it is
// placed on, so nothing of it needs a lock. Thread-safe.
class NetThreads {
 public:
  // 0: as many as this process may run at once, at most 8.
  explicit NetThreads(unsigned threads);
  // Requires: not called on one of its threads.
  ~NetThreads();
  NetThreads(const NetThreads&) = delete;
  NetThreads& operator=(const NetThreads&) = delete;

  unsigned count() const noexcept { return count_; }
  // Of a transfer that names no number: half of the threads, so that both ends of a host have
  // theirs, from two to four. 160 MiB on 16 cores, both ends: two 11 GB/s, four 19, eight 27; one
  // block of 40 layers, 2.5 MiB, 750, 600 and 620 us (GPU to GPU, bench_tcp_engine, one H200).
  unsigned usual_streams() const noexcept { return std::clamp(count_ / 2, 2u, 4u); }

  // A place on the thread that has the fewest; given up when destroyed.
  class Place {
   public:
    asio::io_context& io() const noexcept { return *io_; }

   private:
    friend class NetThreads;
    asio::io_context* io_ = nullptr;
    std::shared_ptr<void> counted_;
  };
  // Throws: Error{resource} when not even one thread can be started.
  Place place();
  // Returns when every thread has ended; handlers that wait are destroyed with this object.
  void stop() noexcept;

 private:
  struct Loop {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    std::thread thread;
    unsigned places = 0;
  };
  void start();

  unsigned count_;
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::vector<std::shared_ptr<Loop>> loops_;
};

}  // namespace kvferry::path::tcp
