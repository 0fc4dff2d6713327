#pragma once

#include "kernels/copy_args.hpp"

#ifdef __CUDACC__
#define KVFERRY_CURSOR __host__ __device__ __forceinline__
#else
#define KVFERRY_CURSOR inline
#endif

// Which row a worker copies next. Compiles for the host too, where its test runs.
namespace kvferry::kernels {

// A worker's way through its items. The ids of the next item are fetched one step ahead.
template <std::size_t kBytes>
class Cursor {
 public:
  KVFERRY_CURSOR Cursor(const Params<kBytes>& p, std::uint32_t worker) : p_(p) {
    const CopyArgs& a = p.args;
    const std::uint32_t row = worker / a.chunks;
    chunk_ = worker - row * a.chunks;
    plane_ = row / a.blocks;
    block_ = row - plane_ * a.blocks;
    fetch_pair();
  }

  KVFERRY_CURSOR void advance() {
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
    fetch_pair();
  }

  KVFERRY_CURSOR const std::uint8_t* source() const {
    return reinterpret_cast<const std::uint8_t*>(address(p_.args.source, source_id_));
  }
  KVFERRY_CURSOR std::uint8_t* target() const {
    return reinterpret_cast<std::uint8_t*>(address(p_.args.target, target_id_));
  }
  KVFERRY_CURSOR std::uint32_t bytes() const {
    return chunk_ + 1 == p_.args.chunks ? p_.args.tail_bytes : p_.args.chunk_bytes;
  }

 private:
  KVFERRY_CURSOR void fetch_pair() {
    const CopyArgs& a = p_.args;
    if (a.narrow == 0) {
      const std::uint64_t pair = p_.payload[a.pairs + block_];
      source_id_ = static_cast<std::uint32_t>(pair);
      target_id_ = static_cast<std::uint32_t>(pair >> 32);
    } else {
      const std::uint64_t two = p_.payload[a.pairs + block_ / 2];
      const auto pair = static_cast<std::uint32_t>(two >> (block_ % 2 * 32));
      source_id_ = pair & 0xffff;
      target_id_ = pair >> 16;
    }
  }

  KVFERRY_CURSOR std::uint64_t address(const SideArgs& side, std::uint32_t id) const {
    const std::uint64_t plane =
        side.even != 0 ? side.base + plane_ * side.plane_stride : p_.payload[side.table + plane_];
    return plane + id * side.block_stride +
           static_cast<std::uint64_t>(chunk_) * p_.args.chunk_bytes;
  }

  const Params<kBytes>& p_;
  std::uint32_t chunk_, block_, plane_;
  std::uint32_t source_id_, target_id_;
};

KVFERRY_CURSOR std::uint64_t items_of(const CopyArgs& a, std::uint32_t worker) {
  return worker < a.workers ? a.rounds + (worker < a.extra ? 1u : 0u) : 0;
}

}  // namespace kvferry::kernels

#undef KVFERRY_CURSOR
