#pragma once

#include "kernels/copy_args.hpp"
#include "kernels/ptx.cuh"

// What the copy kernels have in common: which row comes next, and when to stop.
namespace kvferry::kernels {

template <std::size_t kBytes>
__device__ __forceinline__ std::uint64_t payload_word(const Params<kBytes>& p, std::uint32_t i) {
  if constexpr (kBytes == 0)
    return __ldg(reinterpret_cast<const unsigned long long*>(p.args.payload) + i);
  else
    return p.payload[i];
}

// A worker's way through its items. The ids of the next item are fetched one step ahead.
template <std::size_t kBytes>
class Cursor {
 public:
  __device__ __forceinline__ Cursor(const Params<kBytes>& p, std::uint32_t worker) : p_(p) {
    const CopyArgs& a = p.args;
    const std::uint32_t row = worker / a.chunks;
    chunk_ = worker - row * a.chunks;
    plane_ = row / a.blocks;
    block_ = row - plane_ * a.blocks;
    pair_ = payload_word(p_, a.pairs + block_);
  }

  __device__ __forceinline__ void advance() {
    const CopyArgs& a = p_.args;
    std::uint32_t carry = 0;
    chunk_ += a.step_chunk;
    if (chunk_ >= a.chunks) {
      chunk_ -= a.chunks;
      carry = 1;
    }
    block_ += a.step_block + carry;
    carry = 0;
    if (block_ >= a.blocks) {
      block_ -= a.blocks;
      carry = 1;
    }
    plane_ += a.step_plane + carry;
    pair_ = payload_word(p_, a.pairs + block_);
  }

  __device__ __forceinline__ const std::uint8_t* source() const {
    return reinterpret_cast<const std::uint8_t*>(
        address(p_.args.source, static_cast<std::uint32_t>(pair_)));
  }
  __device__ __forceinline__ std::uint8_t* target() const {
    return reinterpret_cast<std::uint8_t*>(
        address(p_.args.target, static_cast<std::uint32_t>(pair_ >> 32)));
  }
  __device__ __forceinline__ std::uint32_t bytes() const {
    return chunk_ + 1 == p_.args.chunks ? p_.args.tail_bytes : p_.args.chunk_bytes;
  }

 private:
  __device__ __forceinline__ std::uint64_t address(const SideArgs& side, std::uint32_t id) const {
    const std::uint64_t plane = side.even != 0 ? side.base + plane_ * side.plane_stride
                                               : payload_word(p_, side.table + plane_);
    return plane + id * side.block_stride +
           static_cast<std::uint64_t>(chunk_) * p_.args.chunk_bytes;
  }

  const Params<kBytes>& p_;
  std::uint32_t chunk_, block_, plane_;
  std::uint64_t pair_;
};

__device__ __forceinline__ std::uint64_t items_of(const CopyArgs& a, std::uint32_t worker) {
  return worker < a.workers ? a.rounds + (worker < a.extra ? 1u : 0u) : 0;
}

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
