#include "path/tcp/cuda_stage_watch.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <atomic>
#include <system_error>

#include "base/scope_exit.hpp"
#include "kvferry/error.hpp"
#include "memory/cuda_device.hpp"

namespace kvferry::path::tcp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::microseconds(20);
// A copy of 2 MiB takes 0.1 ms: one that takes so long may have failed, and its stream is asked.
constexpr auto kPatience = std::chrono::milliseconds(50);
constexpr std::size_t kUsualCopies = 256;

struct Copy {
  kernels::Words* words = nullptr;
  cudaStream_t stream = nullptr;
  std::function<void(bool)> done;
  Clock::time_point ask;
  bool good = true;
};

bool has_ended(Copy& copy, int device, Clock::time_point now) {
  if (std::atomic_ref(copy.words->done).load(std::memory_order_acquire) != 0) return true;
  if (now < copy.ask) return false;
  copy.ask = now + kPatience;
  cudaError_t state = cudaErrorUnknown;
  try {
    const cuda::DeviceGuard guard(device);
    state = cudaStreamQuery(copy.stream);
  } catch (const Error&) {
    // The GPU is gone.
  }
  if (state == cudaErrorNotReady) return false;
  copy.good = state == cudaSuccess;
  return true;
}

}  // namespace

struct StageWatch::State {
  explicit State(int ordinal) : device(ordinal) { running.reserve(kUsualCopies); }

  void run() {
    // By default the kernel adds 50 us to every sleep.
    (void)::prctl(PR_SET_TIMERSLACK, 1000);
    (void)::pthread_setname_np(::pthread_self(), "kvferry-stages");
    std::vector<Copy> over;
    over.reserve(kUsualCopies);
    for (std::unique_lock lock(mutex);;) {
      wake.wait(lock, [this] { return ending || !running.empty(); });
      if (running.empty()) return;
      const auto now = Clock::now();
      std::erase_if(running, [&](Copy& copy) {
        if (!has_ended(copy, device, now)) return false;
        over.push_back(std::move(copy));
        return true;
      });
      lock.unlock();
      for (const Copy& copy : over) copy.done(copy.good);
      if (over.empty()) std::this_thread::sleep_for(kLook);
      over.clear();
      lock.lock();
    }
  }

  const int device;
  std::mutex mutex;
  std::condition_variable wake;
  bool ending = false;
  std::vector<Copy> running;
};

StageWatch::StageWatch(int device) : state_(std::make_shared<State>(device)) {
  try {
    thread_ = std::thread([state = state_] { state->run(); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::resource,
                fmt::format("cannot start a thread that watches the stages of cuda:{}: {}; check "
                            "ulimit -u",
                            device, error.what()));
  }
}

StageWatch::~StageWatch() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
  }
  state_->wake.notify_one();
  // What a copy's end gave back may have been the last that kept this.
  if (thread_.get_id() == std::this_thread::get_id())
    thread_.detach();
  else
    thread_.join();
}

void StageWatch::add(kernels::Words* words, void* stream, std::function<void(bool)> done) {
  bool first = false;
  {
    const std::lock_guard lock(state_->mutex);
    first = state_->running.empty();
    state_->running.push_back(
        {words, static_cast<cudaStream_t>(stream), std::move(done), Clock::now() + kPatience});
  }
  if (first) state_->wake.notify_one();
}

}  // namespace kvferry::path::tcp
