#pragma once

#include <cstdint>

#include "kvferry/pool.hpp"

// The small cache that doctor's processes share: 4 MiB in four layers.
namespace kvferry::cli::doctor {

inline constexpr std::uint32_t kBlocks = 64;
inline constexpr const char* kPool = "doctor";
inline constexpr const char* kPrivatePool = "doctor-private";
inline constexpr std::uint64_t kOwnerSeed = 1;

inline CacheShape test_shape() {
  return {.layers = 4, .kv = 2, .kv_heads = 4, .head_dim = 64, .block_tokens = 16};
}

// "host" or "cuda:N", as doctor's own processes write it.
Device device_named(const std::string& name);
// Filled with its own coordinates under kOwnerSeed, and writable. Throws: Error.
Pool make_test_pool(const Device& device);
// The same in memory of this process alone, attached.
Pool make_private_pool();

}  // namespace kvferry::cli::doctor
