#pragma once

#include <cstdint>
#include <vector>

#include "kvferry/pool.hpp"
#include "kvferry/transfer.hpp"

#ifdef __CUDACC__
#define KVFERRY_HD __host__ __device__
#else
#define KVFERRY_HD
#endif

// What a pool's bytes should be, so that a transfer can be checked to the byte without sending a
// second copy.
namespace kvferry::pattern {

enum class Fill : std::uint8_t {
  ones,     // every element 1
  indexed,  // every element depends on block, layer, kv, token, head and dim
};

// How the elements of a block are laid out: (kv, tokens, heads, dims), dims fastest. The order
// vLLM's FlashAttention uses per block. The 32 values of Fill::indexed are +-(4 + m) * 2^k, m and k
// in 0..3: exact in bf16, fp16, fp32, fp8 e4m3, fp8 e5m2 and int8 alike, so a later conversion of
// dtypes can still be checked.

// A well mixed 32-bit hash of one element's coordinates. `seed` tells fills apart (0: the server's;
// others: what a destination holds before a transfer).
KVFERRY_HD inline std::uint32_t mix(std::uint64_t row, std::uint32_t dim) {
  std::uint32_t x = static_cast<std::uint32_t>(row) ^ (dim * 0x9E3779B9u);
  x ^= static_cast<std::uint32_t>(row >> 32);
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  x ^= x >> 16;
  return x;
}

// The part of the coordinates above dim, mixed to 64 bits (SplitMix64's finaliser).
KVFERRY_HD inline std::uint64_t row_key(std::uint64_t seed, std::uint32_t layer,
                                        std::uint32_t block, std::uint32_t kv, std::uint32_t token,
                                        std::uint32_t head) {
  std::uint64_t x = seed * 0xD1342543DE82EF95ull + layer;
  x = x * 0x9E3779B97F4A7C15ull + block;
  x = x * 0x9E3779B97F4A7C15ull +
      ((static_cast<std::uint64_t>(kv) << 40) ^ (static_cast<std::uint64_t>(token) << 20) ^ head);
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// The element's bits: sign s, magnitude (4 + m) * 2^k, from five bits of the hash.
KVFERRY_HD inline std::uint32_t encode(std::uint32_t hash, DType dtype) {
  const std::uint32_t s = hash >> 31, k = (hash >> 29) & 3u, m = (hash >> 27) & 3u;
  switch (dtype) {  // value = 1.m (binary, two bits) * 2^(2 + k)
    case DType::bf16: return (s << 15) | ((129u + k) << 7) | (m << 5);
    case DType::fp16: return (s << 15) | ((17u + k) << 10) | (m << 8);
    case DType::fp32: return (s << 31) | ((129u + k) << 23) | (m << 21);
    case DType::fp8_e4m3: return (s << 7) | ((9u + k) << 3) | (m << 1);
    case DType::fp8_e5m2: return (s << 7) | ((17u + k) << 2) | m;
    case DType::int8: {
      const std::uint32_t v = (4u + m) << k;
      return (s ? 0u - v : v) & 0xFFu;
    }
  }
  return 0;
}

// Bits of 1 in a dtype.
KVFERRY_HD inline std::uint32_t one(DType dtype) {
  switch (dtype) {
    case DType::bf16: return 0x3F80u;
    case DType::fp16: return 0x3C00u;
    case DType::fp32: return 0x3F800000u;
    case DType::fp8_e4m3: return 0x38u;
    case DType::fp8_e5m2: return 0x3Cu;
    case DType::int8: return 1u;
  }
  return 0;
}

// One job over many blocks of a pool: entry i says that block `block` should look as block
// `as_block` of fill `fill` with `seed`.
struct BlockSpec {
  std::uint32_t block = 0;     // where, in this pool
  std::uint32_t as_block = 0;  // what, in the coordinates of the pool it came from
  Fill fill = Fill::indexed;
  std::uint64_t seed = 0;
};

struct Mismatch {
  std::uint64_t bytes = 0;  // wrong bytes in all
  // The first one found (lowest layer, then lowest place in the list), if any:
  std::uint32_t layer = 0, block = 0;
  std::uint64_t offset = 0;  // byte within the block
};

// Writes the patterns into the layers of the range. Host: on `threads` threads (0: all). CUDA: a
// kernel, synchronous. Throws: Error{resource}.
void fill(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers,
          unsigned threads = 0);
// Compares every byte. Throws: Error{resource}.
Mismatch check(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers,
               unsigned threads = 0);

namespace detail {
// Device halves, in cuda_pattern.cpp and cuda_pattern.cu.
void fill_cuda(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers);
Mismatch check_cuda(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers);
}  // namespace detail

}  // namespace kvferry::pattern
