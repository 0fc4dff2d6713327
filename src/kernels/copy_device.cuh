#pragma once

#include "kernels/copy_cursor.hpp"
#include "kernels/ptx.cuh"

// What the copy kernels have in common: when to stop.
namespace kvferry::kernels {

// Called by the first thread of a CTA before any work: whether to stop at once.
__device__ __forceinline__ bool aborted_at_start(const CopyArgs& a) {
  if (a.handshake == 0) return false;
  // One half of Dekker's handshake; abort() on the host has the other. Either we see `abort`, or
  // the host sees `started`: never neither.
  ptx::store_system(&a.words->started, 1);
  __threadfence_system();
  return ptx::load_system(&a.words->abort) != 0;
}

// Passes the host's abort word on to a CTA. One thread reads it, a round trip over PCIe of a
// microsecond or more, so the load is issued well before its value is used; the others see a flag
// in shared memory, without a barrier: it does not matter which item they stop at.
class AbortPoll {
 public:
  __device__ __forceinline__ AbortPoll(const CopyArgs& a, bool mine, volatile std::uint32_t* flag)
      : word_(&a.words->abort), flag_(flag), mask_(a.poll_mask), mine_(mine) {}

  // Before item k: asks, unless the answer would come when all is done and only delay the end.
  __device__ __forceinline__ void ask(std::uint64_t k, std::uint64_t items) {
    const bool now = mine_ && (k & mask_) == 0 && k + mask_ + 1 < items;
    ptx::load_system_if(now, value_, word_);
  }
  // After item k: passes on what an ask() of mask + 1 items ago brought.
  __device__ __forceinline__ void tell(std::uint64_t k) {
    if (mine_ && (k & mask_) == mask_ && value_ != 0) *flag_ = 1;
  }

 private:
  const std::uint32_t* word_;
  volatile std::uint32_t* flag_;
  std::uint32_t mask_;
  bool mine_;
  std::uint32_t value_ = 0;
};

}  // namespace kvferry::kernels
