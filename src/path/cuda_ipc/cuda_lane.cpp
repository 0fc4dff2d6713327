#include "path/cuda_ipc/cuda_lane.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <thread>

#include "path/cuda_ipc/cuda_watcher.hpp"

namespace kvferry::path {
namespace {

// Made when a lane opens; more only when more jobs run at once.
constexpr int kFirstSlots = 4;
// Room for all that may rest at a time, so that giving back does not allocate; a lane of more
// grows.
constexpr std::size_t kMostSlots = 1024;
constexpr std::size_t kWordsPerPage = 64;

// Where the last owner of a lane lets go on a watcher's thread, another thread takes it down.
struct LaneDeleter {
  void operator()(Lane* lane) const noexcept {
    std::unique_ptr<Lane> owned(lane);
    if (!Watcher::is_this_thread()) return;
    try {
      std::thread([dying = std::move(owned)] {}).detach();
    } catch (...) {
      // No thread to be had: better to leak streams than to wait for oneself.
      (void)owned.release();
    }
  }
};

}  // namespace

std::shared_ptr<Lane> Lane::open(int device) {
  std::unique_ptr<Lane> lane(new Lane(device));
  return std::shared_ptr<Lane>(lane.release(), LaneDeleter{});
}

Lane::Lane(int device) : device_(device), info_(cuda::device_info(device)) {
  if (info_.compute_major < 8)
    throw Error(ErrorCode::refused,
                fmt::format("GPU cuda:{} has compute capability {}.{}; kvferry's kernels need 8.0",
                            device, info_.compute_major, info_.compute_minor));
  const cuda::DeviceGuard guard(device);
  const bool with_tma =
      info_.compute_major >= 9 &&
      info_.shared_bytes >= kernels::kTmaSharedBytes + kernels::kTmaStaticSharedBytes;
  cuda::check(static_cast<cudaError_t>(kernels::prepare_device(with_tma)),
              fmt::format("cannot load kvferry's kernels on GPU cuda:{}", device),
              ErrorCode::refused);
  slots_.reserve(kMostSlots);
  for (int i = 0; i < kFirstSlots; ++i) slots_.push_back(make_slot());
  give_back(take_words());
  watcher_ = std::make_unique<Watcher>();
}

Lane::~Lane() {
  watcher_.reset();
  try {
    const cuda::DeviceGuard guard(device_);
    slots_.clear();
    parked_.clear();
    word_pages_.clear();
  } catch (const Error&) {
    // The driver is gone: the process is ending.
  }
}

std::unique_ptr<Slot> Lane::take_slot() {
  {
    std::lock_guard lock(mutex_);
    if (!slots_.empty()) {
      auto slot = std::move(slots_.back());
      slots_.pop_back();
      return slot;
    }
  }
  const cuda::DeviceGuard guard(device_);
  return make_slot();
}

std::unique_ptr<Slot> Lane::make_slot() {
  auto slot = std::make_unique<Slot>();
  slot->stream = cuda::Stream::create();
  slot->order = cuda::Event::create();
  slot->done = cuda::Event::create();
  for (auto& event : slot->batches) event = cuda::Event::create();
  slot->relay = cuda::DeviceBuffer::allocate(kernels::kRelayBytes);
  cuda::check(cudaMemsetAsync(slot->relay.data(), 0, kernels::kRelayBytes, slot->stream.get()),
              "cannot clear the abort relay");
  return slot;
}

void Lane::give_back(std::unique_ptr<Slot> slot) noexcept {
  std::lock_guard lock(mutex_);
  slots_.push_back(std::move(slot));
}

void Lane::park(std::unique_ptr<Slot> slot) noexcept {
  try {
    std::lock_guard lock(mutex_);
    parked_.push_back(std::move(slot));
  } catch (...) {
    (void)slot.release();
  }
}

kernels::Words* Lane::take_words() {
  std::unique_lock lock(mutex_);
  if (words_.empty()) {
    // Not under the lock: the allocation may wait for the GPU, and give_back() wants it.
    lock.unlock();
    const cuda::DeviceGuard guard(device_);
    auto page = cuda::PinnedBuffer::allocate(kWordsPerPage * sizeof(kernels::Words));
    lock.lock();
    word_pages_.push_back(std::move(page));
    auto* first = reinterpret_cast<kernels::Words*>(word_pages_.back().data());
    // Room for all there are, so that giving back never allocates.
    words_.reserve(kWordsPerPage * word_pages_.size());
    for (std::size_t i = 0; i < kWordsPerPage; ++i) words_.push_back(first + i);
  }
  kernels::Words* words = words_.back();
  words_.pop_back();
  return new (words) kernels::Words();
}

void Lane::give_back(kernels::Words* words) noexcept {
  std::lock_guard lock(mutex_);
  words_.push_back(words);
}

void Lane::make_forks(Slot& slot) {
  if (slot.forks.back()) return;
  slot.fork = cuda::Event::create();
  for (auto& event : slot.joins) event = cuda::Event::create();
  for (auto& stream : slot.forks) stream = cuda::Stream::create();
}

}  // namespace kvferry::path
