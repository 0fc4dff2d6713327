#include "path/tcp/net_threads.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <system_error>

#include "base/scope_exit.hpp"
#include "kvferry/error.hpp"

namespace kvferry::path::tcp {
namespace {

// One core moves 4 to 8 GB/s through a socket: eight are more than any network of today takes.
constexpr unsigned kMaxThreads = 8;

unsigned usable_cores() {
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0)
    return static_cast<unsigned>(CPU_COUNT(&cores));
  return std::thread::hardware_concurrency();
}

}  // namespace

NetThreads::NetThreads(unsigned threads)
    : count_(threads != 0 ? threads : std::clamp(usable_cores(), 1u, kMaxThreads)) {}

NetThreads::~NetThreads() { stop(); }

void NetThreads::stop() noexcept {
  for (const auto& loop : loops_) {
    loop->work.reset();
    loop->io.stop();
  }
  for (const auto& loop : loops_)
    if (loop->thread.joinable()) loop->thread.join();
  // What was posted too late, above all that streams are to be closed.
  for (const auto& loop : loops_) {
    loop->io.restart();
    loop->io.poll();
  }
}

// Under the lock.
void NetThreads::start() {
  // Signals are for the application's threads: ours would run its handlers at odd places.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const ScopeExit restore([&] { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); });
  try {
    while (loops_.size() < count_) {
      auto loop = std::make_shared<Loop>();
      loop->thread = std::thread([io = &loop->io] { io->run(); });
      ::pthread_setname_np(loop->thread.native_handle(), "kvferry-net");
      loops_.push_back(std::move(loop));
    }
  } catch (const std::system_error& error) {
    if (!loops_.empty()) return;  // fewer will do
    throw Error(ErrorCode::resource,
                fmt::format("cannot start a network thread: {}; check ulimit -u", error.what()));
  }
}

NetThreads::Place NetThreads::place() {
  const std::lock_guard lock(*mutex_);
  if (loops_.empty()) start();
  const auto& loop = *std::min_element(
      loops_.begin(), loops_.end(), [](const auto& a, auto& b) { return a->places < b->places; });
  ++loop->places;
  Place place;
  place.io_ = &loop->io;
  place.counted_ =
      std::shared_ptr<void>(nullptr, [mutex = mutex_, weak = std::weak_ptr(loop)](void*) {
        const std::lock_guard again(*mutex);
        if (const auto mine = weak.lock()) --mine->places;
      });
  return place;
}

}  // namespace kvferry::path::tcp
