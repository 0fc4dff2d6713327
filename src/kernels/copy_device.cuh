#pragma once

#include "kernels/copy_cursor.hpp"
#include "kernels/ptx.cuh"

// What the copy kernels have in common: when to stop.
namespace kvferry::kernels {

// Called by the first thread of a CTA before any work: whether to stop at once.
__device__ __forceinline__ bool aborted_at_start(const ControlArgs& a) {
  if (a.handshake == 0) return false;
  if (blockIdx.x == 0) {
    // One half of Dekker's handshake; abort() on the host has the other. Either we see `abort`, or
    // the host sees `started`: never neither.
    ptx::store_system(&a.words->started, 1);
    __threadfence_system();
    const bool stop = ptx::load_system(&a.words->abort) != 0;
    ptx::store_system(a.relay, stop ? a.stop : a.go);
    return stop;
  }
  // CTAs are dispatched in the order of their index: the first one is running or has been.
  std::uint32_t said = 0;
  do said = ptx::load_system(a.relay);
  while (said != a.go && said != a.stop);
  return said == a.stop;
}

// Called by all threads of a CTA when they have done their work.
__device__ __forceinline__ void tell_end(const ControlArgs& a) {
  if (a.tell_end == 0) return;
  __syncthreads();
  if (threadIdx.x != 0) return;
  std::uint32_t* ended = a.relay + 1;
  // What the CTA wrote is visible everywhere before it is counted, and all of it before the word.
  __threadfence_system();
  if (atomicAdd(ended, 1) + 1 < gridDim.x) return;
  ptx::store_system(ended, 0);
  __threadfence_system();
  ptx::store_system(&a.words->done, 1);
}

// Tells a CTA when to stop. One of its threads asks: in the first CTA the host's word, a round trip
// over PCIe of a microsecond or more, so the load is issued well before its value is used; in the
// others the relay that the first one keeps in device memory. The rest of the CTA sees a flag in
// shared memory, without a barrier: it does not matter which item they stop at.
class AbortPoll {
 public:
  __device__ __forceinline__ AbortPoll(const ControlArgs& a, std::uint32_t mask, bool mine,
                                       volatile std::uint32_t* flag)
      : first_(blockIdx.x == 0),
        word_(first_ ? &a.words->abort : a.relay),
        relay_(a.relay),
        stop_(a.stop),
        flag_(flag),
        mask_(mask),
        mine_(mine) {}

  // Before item k: asks, unless the answer would come when all is done and only delay the end.
  __device__ __forceinline__ void ask(std::uint64_t k, std::uint64_t items) {
    const bool now = mine_ && (k & mask_) == 0 && k + mask_ + 1 < items;
    ptx::load_system_if(now, value_, word_);
  }
  // After item k: passes on what the ask() of up to mask items ago brought.
  __device__ __forceinline__ void tell(std::uint64_t k) {
    if (!mine_ || (k & mask_) != mask_) return;
    if (first_ ? value_ == 0 : value_ != stop_) return;
    if (first_) ptx::store_system(relay_, stop_);
    *flag_ = 1;
  }

 private:
  bool first_;
  const std::uint32_t* word_;
  std::uint32_t* relay_;
  std::uint32_t stop_;
  volatile std::uint32_t* flag_;
  std::uint32_t mask_;
  bool mine_;
  std::uint32_t value_ = 0;
};

}  // namespace kvferry::kernels
