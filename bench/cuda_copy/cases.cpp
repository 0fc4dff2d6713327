#include "cuda_copy/cases.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

#include "memory/cuda_check.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::bench {

double percentile(std::vector<double> values, double p) {
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  return values[at];
}

double time_us(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

Pool make_pool(Device device, const CacheShape& shape, std::uint32_t blocks) {
  PoolOptions options;
  options.writable = true;
  return Pool::allocate(device, shape, blocks, options);
}

path::RemoteEnd end_of(const Pool& pool) {
  const auto& state = *pool.state();
  path::RemoteEnd end;
  end.offer.parts = state.parts;
  end.offer.block_stride = state.block_stride;
  end.offer.planes = state.planes;
  for (const auto& region : state.regions) end.offer.regions.push_back(memory::offer(*region));
  end.shape = state.shape;
  end.blocks = state.blocks;
  end.writable = true;
  end.same_process = true;
  return end;
}

std::vector<std::uint32_t> ids(const Case& c, std::uint32_t blocks, unsigned seed) {
  std::vector<std::uint32_t> list(blocks);
  std::iota(list.begin(), list.end(), 0u);
  if (!c.contiguous) std::shuffle(list.begin(), list.end(), std::mt19937(seed));
  list.resize(c.count);
  return list;
}

void contiguous_copy(const Pool& from, const Pool& to, std::uint64_t bytes, cudaStream_t stream,
                     std::uint32_t times) {
  for (; times > 0; --times)
    cuda::check(cudaMemcpyAsync(to.layer(0), from.layer(0), bytes, cudaMemcpyDefault, stream),
                "reference copy");
  cuda::check(cudaStreamSynchronize(stream), "reference copy");
}

}  // namespace kvferry::bench
