#include "path/host_shm/copy_threads.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>

#include "base/scope_exit.hpp"
#include "kvferry/error.hpp"

namespace kvferry::path::host {

namespace {

constexpr unsigned kMaxThreads = 8;

using Works = std::deque<std::shared_ptr<CopyWork>>;

// The front, which goes to the back: the next thread takes the next work.
std::shared_ptr<CopyWork> take_turn(Works& works) {
  auto work = std::move(works.front());
  works.pop_front();
  works.push_back(work);
  return work;
}

}  // namespace

// Shared with the threads, so that one of them may outlive the CopyThreads it destroys.
struct CopyThreads::Queue {
  std::mutex mutex;
  std::condition_variable wake;
  Works works;
  Works background;
  unsigned limit = 1;
  unsigned busy = 0;           // threads in a step of a work
  unsigned to_wake = 0;        // threads that others have still to wake
  bool in_background = false;  // a thread is in a step of background
  bool stopping = false;
  std::vector<std::thread> threads;

  bool work_ready() const { return !works.empty() && busy < limit; }
  bool background_ready() const { return works.empty() && !background.empty() && !in_background; }

  // The turn's work does one step outside the lock.
  void step(std::unique_lock<std::mutex>& lock) {
    auto work = take_turn(works);
    ++busy;
    const bool wake_another = to_wake > 0 && work_ready();
    if (wake_another) --to_wake;
    lock.unlock();
    if (wake_another) wake.notify_one();
    const bool more = work->step();
    lock.lock();
    --busy;
    if (!more) std::erase(works, work);
    // The last handle of a work may run anyone's destructors: not under the lock.
    lock.unlock();
    work.reset();
    lock.lock();
  }

  void step_background(std::unique_lock<std::mutex>& lock) {
    auto work = take_turn(background);
    in_background = true;
    lock.unlock();
    const bool more = work->step();
    lock.lock();
    in_background = false;
    if (!more) std::erase(background, work);
    lock.unlock();
    work.reset();
    lock.lock();
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stopping || work_ready() || background_ready(); });
      if (stopping) return;
      if (work_ready()) {
        step(lock);
      } else {
        step_background(lock);
      }
    }
  }
};

CopyThreads::CopyThreads(unsigned threads)
    : queue_(std::make_shared<Queue>()),
      count_(threads != 0 ? threads
                          : std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads)) {
  queue_->limit = count_;
}

CopyThreads::~CopyThreads() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->stopping = true;
    threads.swap(queue_->threads);
  }
  queue_->wake.notify_all();
  for (std::thread& thread : threads) {
    if (thread.get_id() == std::this_thread::get_id()) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

void CopyThreads::start() {
  const std::lock_guard lock(queue_->mutex);
  if (!queue_->threads.empty()) return;
  // Signals are for the application's threads: ours would run its handlers at odd places.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const ScopeExit restore([&] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); });
  try {
    while (queue_->threads.size() < count_) {
      queue_->threads.emplace_back([queue = queue_] { queue->run(); });
      ::pthread_setname_np(queue_->threads.back().native_handle(), "kvferry-copy");
    }
  } catch (const std::system_error& error) {
    if (!queue_->threads.empty()) return;  // fewer will do
    throw Error(ErrorCode::resource,
                fmt::format("cannot start a copy thread: {}; check ulimit -u", error.what()));
  }
}

void CopyThreads::post(std::shared_ptr<CopyWork> work, Wake wake) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->works.push_back(std::move(work));
    queue_->to_wake = wake == Wake::one ? count_ - 1 : 0;
  }
  if (wake == Wake::one) {
    queue_->wake.notify_one();
  } else {
    queue_->wake.notify_all();
  }
}

bool CopyThreads::help(const CopyWork& work, std::chrono::steady_clock::time_point until) {
  bool helped = false;
  std::unique_lock lock(queue_->mutex);
  while (queue_->works.size() == 1 && queue_->works.front().get() == &work &&
         queue_->work_ready() && std::chrono::steady_clock::now() < until) {
    queue_->step(lock);
    helped = true;
  }
  // Our place is free again.
  if (helped && queue_->work_ready()) queue_->wake.notify_one();
  if (queue_->background_ready()) queue_->wake.notify_one();
  return helped;
}

void CopyThreads::post_background(std::shared_ptr<CopyWork> work) {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->background.push_back(std::move(work));
  }
  queue_->wake.notify_one();
}

}  // namespace kvferry::path::host
