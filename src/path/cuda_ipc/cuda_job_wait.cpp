#include <thread>

#include "memory/cuda_device.hpp"
#include "path/cuda_ipc/cuda_job.hpp"

namespace kvferry::path {
namespace {

using Clock = std::chrono::steady_clock;

// A waiter spins until so long after a copy should have ended: it sees the end within a
// microsecond, while a thread takes tens of them to wake up.
constexpr auto kSpin = std::chrono::microseconds(200);
// Before a long copy ends it sleeps, and wakes so early: more than a thread takes to wake up. Or
// earlier by the part of the time below, since what is expected may be wrong.
constexpr auto kWakeEarly = std::chrono::microseconds(200);
// A copy shorter than this is not worth sleeping for.
constexpr auto kShort = std::chrono::microseconds(1000);
// Past that time others use the link, or the SMs: whoever looks does so again after this part of
// the time since the post. (CUDA's callback comes 40 to 150 us late, and 100 to 500 us where
// several copies run: bench_cuda_copy's "told", H200.)
constexpr int kLooksOfTime = 32;
// A waiter spins through shorter pauses; the watcher, who may have many copies, makes none.
constexpr auto kWaiterSleeps = std::chrono::microseconds(50);
constexpr auto kWatcherSleeps = std::chrono::microseconds(20);
constexpr auto kLongPause = std::chrono::milliseconds(5);
// Where nobody waits, but somebody is to be told, the watcher looks from this part of the expected
// time before its end, and spins from so early to so late: the end is told 1 to 3 us after it came,
// without spinning 10 to 50 us.
constexpr int kEarlyPart = 8;
constexpr auto kLookEarly = std::chrono::microseconds(50);
constexpr auto kLookSpin = std::chrono::microseconds(100);
// How often a spinning waiter asks whether the GPU has failed: then no word comes.
constexpr auto kHealthSpin = std::chrono::microseconds(100);

}  // namespace

bool CudaJob::wait_until(Clock::time_point until) {
  const auto end = posted_at_ + expected_;
  const auto sleep_for = [&](Clock::time_point wake) {
    std::unique_lock lock(mutex_);
    return ended_.wait_until(lock, wake, [this] { return result_.has_value(); });
  };
  const auto wake = end - std::max<Clock::duration>(kWakeEarly, expected_ / kLooksOfTime);
  if (expected_ > kShort && Clock::now() < wake && sleep_for(std::min(until, wake))) return true;
  if (spin_until(std::min(until, end + kSpin))) return true;
  for (;;) {
    if (poll()) return true;
    const auto now = Clock::now();
    if (now >= until) return false;
    const auto pause = pause_at(now);
    const auto again = std::min(until, now + pause);
    if (pause < kWaiterSleeps ? spin_until(again) : sleep_for(again)) return true;
  }
}

CudaJob::Clock::duration CudaJob::pause_at(Clock::time_point now) const noexcept {
  return std::min<Clock::duration>((now - posted_at_) / kLooksOfTime, kLongPause);
}

CudaJob::Clock::time_point CudaJob::next_look() const noexcept {
  const auto now = Clock::now();
  const auto end = posted_at_ + expected_;
  const auto first = end - std::max<Clock::duration>(expected_ / kEarlyPart, kLookEarly);
  if (now < first) return first;
  const auto spin = end - kLookEarly;
  if (now >= spin && now < end + kLookSpin) return now;
  const auto again = now + std::max<Clock::duration>(pause_at(now), kWatcherSleeps);
  return now < spin ? std::min(again, spin) : again;
}

bool CudaJob::spin_until(Clock::time_point until) {
  while (!sealed_.load(std::memory_order_acquire)) {
    if (over_.load(std::memory_order_acquire)) return true;
    if (Clock::now() >= until) return false;
    std::this_thread::yield();
  }
  // Where a word tells of the end, the event is asked only to hear of a GPU that has failed.
  const auto health = has_word_ ? Clock::duration(kHealthSpin) : Clock::duration::zero();
  for (auto ask = Clock::now() + health;;) {
    if (landed()) {
      end_landed();
      return true;
    }
    if (over_.load(std::memory_order_acquire)) return true;
    const auto now = Clock::now();
    if (now >= until) return false;
    if (now < ask) continue;
    if (check_event()) return true;
    ask = now + health;
  }
}

}  // namespace kvferry::path
