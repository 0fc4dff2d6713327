#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// The contents that tell one block from another, so that both sides can be compared to the byte.
namespace kvferry::peers {

inline constexpr int kUntouched = 0xA5;  // what every byte holds before a verified transfer

// The content of block `id` of `layer`. Requires: bytes is a multiple of 8.
void make_content(std::uint64_t seed, std::uint32_t layer, std::uint32_t id,
                  std::vector<std::uint64_t>& words);

// Bytes of `found` that are not those of `wanted`. Requires: equal sizes.
std::uint64_t wrong_bytes(const std::vector<std::uint64_t>& found,
                          const std::vector<std::uint64_t>& wanted);

// Plain copies between pool memory and the host; `device`: -1 for host memory. In cuda_memory.cpp,
// or without CUDA in memory_none.cpp. Throws: std::runtime_error.
void copy_in(int device, void* to, const void* from, std::size_t bytes);
void copy_out(int device, void* to, const void* from, std::size_t bytes);
void set_bytes(int device, void* to, int value, std::size_t bytes);

}  // namespace kvferry::peers
