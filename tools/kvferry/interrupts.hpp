#pragma once

#include <atomic>
#include <thread>

#include "base/unique_fd.hpp"

namespace kvferry::cli {

// SIGINT and SIGTERM as something to look at. From construction on they are blocked in this thread
// and in every thread started later, so it must be built before any other thread. The first one
// sets requested() and makes fd() readable for good; a second one ends the process at once with
// exit code 130, whatever it is stuck in. One per process.
class Interrupts {
 public:
  // Throws: Error{resource}.
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  bool requested() const noexcept { return signal_.load(std::memory_order_relaxed) != 0; }
  // "SIGINT" or "SIGTERM". Requires: requested().
  const char* name() const noexcept;
  // Readable (poll) once requested; read nothing from it.
  int fd() const noexcept { return happened_.get(); }
  // Throws: Error{cancelled} once requested.
  void throw_if_requested() const;

 private:
  void watch();

  UniqueFd signals_;   // signalfd
  UniqueFd happened_;  // eventfd
  UniqueFd stop_;      // eventfd: the destructor's word to the thread
  std::atomic<int> signal_{0};
  std::thread watcher_;
};

}  // namespace kvferry::cli
