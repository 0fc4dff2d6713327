#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kvferry/pool.hpp"
#include "kvferry/transfer.hpp"
#include "path/path.hpp"

// What bench_cuda_copy and its sweep copy, and how they time it.
namespace kvferry::bench {

struct Case {
  std::string name;
  std::uint32_t block_tokens = 16;  // 4 KiB a token: 16 are 64 KiB
  std::uint32_t count = 64;         // blocks of each of 40 layers
  Direction direction = Direction::pull;
  CopyMethod copy = CopyMethod::automatic;
  std::uint32_t max_sms = 0;
  bool contiguous = false;
  std::uint32_t at_once = 1;  // copies that share the link; the reference's follow one another
};

Pool make_pool(Device device, const CacheShape& shape, std::uint32_t blocks);
// As granted by its owner, in this process.
path::RemoteEnd end_of(const Pool& pool);
std::vector<std::uint32_t> ids(const Case& c, std::uint32_t blocks, unsigned seed);

// Requires: there are values; 0 <= p <= 1.
double percentile(std::vector<double> values, double p);
double time_us(const std::function<void()>& work);

// So many contiguous copies, one after the other, between the same two pools' memory. Returns once
// they are done.
void contiguous_copy(const Pool& from, const Pool& to, std::uint64_t bytes, cudaStream_t stream,
                     std::uint32_t times = 1);

}  // namespace kvferry::bench
