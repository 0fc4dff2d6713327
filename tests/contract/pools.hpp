#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvferry/pool.hpp"
#include "pattern/pattern.hpp"

namespace kvferry::contract {

// A kind of pool, by the name both processes use: host, host_private, host_split, cuda:0, cuda:1,
// cuda_malloc:0, cuda_malloc:1.
struct PoolSpec {
  std::string kind = "host";
  CacheShape shape;
  std::uint32_t blocks = 8;
  bool writable = false;
};

// Why this machine cannot make such a pool; nullopt: it can.
std::optional<std::string> why_unavailable(const std::string& kind);
// The same for UCX over some transports; none named: nothing is asked of it.
std::optional<std::string> why_no_ucx(const std::string& transports);
Pool make_pool(const PoolSpec& spec);

// Every block of the pool as itself, in fill `indexed` with this seed.
std::vector<pattern::BlockSpec> whole(std::uint32_t blocks, std::uint64_t seed);
void fill_whole(const Pool& pool, std::uint64_t seed);
// Wrong bytes if the pool should hold seed `mine` except where `moved` says what each block now is,
// in layers of the range.
std::uint64_t wrong_bytes(const Pool& pool, std::uint64_t mine,
                          const std::vector<pattern::BlockSpec>& moved, LayerRange layers = {});

}  // namespace kvferry::contract
