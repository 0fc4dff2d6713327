#include <thread>

#include "memory/cuda_device.hpp"
#include "path/cuda_ipc/cuda_job.hpp"

namespace kvferry::path {
namespace {

using Clock = std::chrono::steady_clock;

// A waiter spins until so long after a copy should have ended: asking the event sees the end within
// a microsecond, while CUDA's callback takes tens of them.
constexpr auto kSpin = std::chrono::microseconds(200);
// Before a long copy ends it sleeps, and wakes so early: more than a thread takes to wake up.
constexpr auto kWakeEarly = std::chrono::microseconds(200);
// A copy shorter than this is not worth sleeping for.
constexpr auto kShort = std::chrono::microseconds(1000);
// Past that time others use the link, or the SMs: a waiter looks again whenever so much of the time
// since the post has passed once more. CUDA's callback would tell 100 to 500 us late.
constexpr int kLooksOfTime = 32;
// Shorter pauses it spins through, longer ones than the second it need not make.
constexpr auto kShortPause = std::chrono::microseconds(50);
constexpr auto kLongPause = std::chrono::milliseconds(1);
// How often a spinning waiter asks whether the GPU has failed: then no word comes.
constexpr auto kHealthSpin = std::chrono::microseconds(100);

}  // namespace

bool CudaJob::wait_until(Clock::time_point until) {
  const auto end = posted_at_ + expected_;
  const auto sleep_for = [&](Clock::time_point wake) {
    std::unique_lock lock(mutex_);
    return ended_.wait_until(lock, wake, [this] { return result_.has_value(); });
  };
  if (expected_ > kShort && Clock::now() < end - kWakeEarly &&
      sleep_for(std::min(until, end - kWakeEarly)))
    return true;
  if (spin_until(std::min(until, end + kSpin))) return true;
  for (;;) {
    if (poll()) return true;
    const auto now = Clock::now();
    if (now >= until) return false;
    const auto pause = std::min<Clock::duration>((now - posted_at_) / kLooksOfTime, kLongPause);
    const auto again = std::min(until, now + pause);
    if (pause < kShortPause ? spin_until(again) : sleep_for(again)) return true;
  }
}

bool CudaJob::spin_until(Clock::time_point until) {
  while (!sealed_.load(std::memory_order_acquire)) {
    if (over_.load(std::memory_order_acquire)) return true;
    if (Clock::now() >= until) return false;
    std::this_thread::yield();
  }
  if (Clock::now() >= posted_at_ + expected_ && check_event()) return true;
  // Where a kernel tells of its end, the event is asked only to hear of a GPU that has failed.
  const bool word = !choice_->engine;
  for (auto ask = Clock::now() + (word ? kHealthSpin : Clock::duration::zero());;) {
    if (landed()) {
      end_landed();
      return true;
    }
    if (over_.load(std::memory_order_acquire)) return true;
    const auto now = Clock::now();
    if (now >= until) return false;
    if (now < ask) continue;
    if (check_event()) return true;
    if (word) ask = now + kHealthSpin;
  }
}

}  // namespace kvferry::path
