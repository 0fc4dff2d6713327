#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/recycling_allocator.hpp"
#include "kernels/copy.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"

namespace kvferry::path {

class Watcher;

// What one running copy needs on a GPU. Exclusive to its job until the lane has it back.
struct Slot {
  cuda::Stream stream;
  cuda::Event order;  // where the caller's stream was
  cuda::Event done;
  // Side streams for engine copies on one GPU, made when first used.
  std::array<cuda::Stream, 3> forks;
  std::array<cuda::Event, 3> joins;
  cuda::Event fork;
  std::array<cuda::Event, 2> batches;  // the last two batches of engine copies
  cuda::DeviceBuffer relay;            // kernels::Control::relay, kRelayBytes
  std::uint32_t ticket = 0;            // of its last launch
  // The first of so many numbers for launches that follow one another.
  std::uint32_t next_tickets(std::uint32_t launches) noexcept {
    const std::uint32_t first = ticket % kernels::kMaxTicket + 1;
    ticket = (ticket + launches) % kernels::kMaxTicket;
    return first;
  }
};

// One GPU's streams, events and shared words, made once and used again by every job. Thread-safe;
// its locks are held for a few instructions.
class Lane {
 public:
  // Throws: Error{refused} where the GPU has no kernels in this build, Error{resource}.
  static std::shared_ptr<Lane> open(int device);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  int device() const noexcept { return device_; }
  const cuda::DeviceInfo& info() const noexcept { return info_; }

  // The slot that was used last, whose stream the driver still has at hand, or a new one. Throws:
  // Error{resource}.
  std::unique_ptr<Slot> take_slot();
  // Requires: its streams are idle. Calls nothing of CUDA.
  void give_back(std::unique_ptr<Slot> slot) noexcept;
  // Cleared words. Throws: Error{resource}.
  kernels::Words* take_words();
  void give_back(kernels::Words* words) noexcept;
  // A slot that something may still be queued on, or that a graph may launch: kept, unused, as long
  // as the lane. What reads its words must find them as they are: they are not given back.
  void park(std::unique_ptr<Slot> slot) noexcept;

  Watcher& watcher() noexcept { return *watcher_; }
  // For the objects of a job.
  const RecyclingAllocator<std::byte>& recycler() const noexcept { return recycler_; }

  static void make_forks(Slot& slot);

 private:
  explicit Lane(int device);
  static std::unique_ptr<Slot> make_slot();

  const int device_;
  cuda::DeviceInfo info_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::unique_ptr<Slot>> parked_;
  std::vector<cuda::PinnedBuffer> word_pages_;
  std::vector<kernels::Words*> words_;
  RecyclingAllocator<std::byte> recycler_;
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace kvferry::path
