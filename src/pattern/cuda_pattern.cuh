#pragma once

#include <cstdint>

#include "pattern/pattern.hpp"

// What the host hands to the pattern kernels: private to this folder.
namespace kvferry::pattern {

struct DeviceSpec {
  std::uint64_t seed;
  std::uint32_t block, as_block;
  std::uint32_t ones;
  std::uint32_t pad;
};

struct PatternResult {
  unsigned long long bytes;  // wrong ones
  unsigned long long first;  // lowest (layer of the range << 32 | place in the list); ~0: none
};

inline constexpr std::uint32_t kPatternChunkBytes = 65536;

struct PatternArgs {
  const std::uint64_t* plane_base;  // device: planes of the layer range
  const DeviceSpec* specs;          // device
  PatternResult* result;            // device; only to check
  std::uint64_t items;              // planes * specs * chunks
  std::uint64_t block_stride, row_bytes;
  std::uint32_t spec_count, chunks, parts, first_layer;
  std::uint32_t tokens, heads, dims, element_bytes;
  DType dtype;
};

// Returns a cudaError_t. `vectors` requires: addresses, strides and rows of a head are multiples of
// 16 bytes.
int launch_pattern(const PatternArgs& args, bool check, bool vectors, std::uint32_t max_ctas,
                   void* stream);

}  // namespace kvferry::pattern
