#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client.hpp"
#include "context.hpp"
#include "pattern_work.hpp"

namespace kvferry::cli {

// Looks at blocks of the server's pool: pulls them, some at a time, into the pool "kv-check" and
// compares them there. That pool is overwritten before each pull, so that what it held before
// cannot pass for what was pulled.
class ReadBack {
 public:
  // Blocks of the check pool: enough for `wanted`, but no more than about 512 MiB of them.
  static std::uint32_t pool_blocks(const CacheShape& shape, std::uint64_t wanted);

  ReadBack(const Client& client, Pool check_pool, const TransferOptions& transfer,
           Context& context);

  // `expected[i].block` is the remote block, the rest what it should hold.
  // The mismatch's block is the remote block. Throws: as run_transfer.
  pattern::Mismatch compare(std::span<const pattern::BlockSpec> expected, LayerRange layers,
                            const std::string& label);
  // Those of the blocks that hold what is expected. Throws: as run_transfer.
  std::vector<pattern::BlockSpec> matching(std::span<const pattern::BlockSpec> expected,
                                           LayerRange layers, const std::string& label);

 private:
  // The blocks of one piece as they now lie in the check pool.
  std::vector<pattern::BlockSpec> fetch(std::span<const pattern::BlockSpec> expected,
                                        LayerRange layers, const std::string& label);

  const Client& client_;
  Pool pool_;
  TransferOptions transfer_;
  const Interrupts& interrupts_;
  PatternWork work_;
};

}  // namespace kvferry::cli
