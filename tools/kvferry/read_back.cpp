#include "read_back.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kvferry/error.hpp"
#include "move.hpp"

namespace kvferry::cli {
namespace {

using pattern::BlockSpec;
using pattern::Fill;

constexpr std::uint64_t kCheckPoolBytes = std::uint64_t{512} << 20;
// No fill of a server's and none of a push has it.
constexpr std::uint64_t kStaleSeed = std::numeric_limits<std::uint32_t>::max() - 1ull;

}  // namespace

std::uint32_t ReadBack::pool_blocks(const CacheShape& shape, std::uint64_t wanted) {
  const std::uint64_t fit = std::max<std::uint64_t>(shape.blocks_for(kCheckPoolBytes), 1);
  return static_cast<std::uint32_t>(std::min(wanted, fit));
}

ReadBack::ReadBack(const Client& client, Pool check_pool, const TransferOptions& transfer,
                   Context& context)
    : client_(client),
      pool_(std::move(check_pool)),
      transfer_(transfer),
      interrupts_(context.interrupts),
      work_(context.out, context.interrupts) {
  // The check may take the time and the way it needs; only the push is measured. A rate holds for
  // it, too.
  transfer_.deadline.reset();
  transfer_.allow_slow = true;
  transfer_.remote_pool = kPoolName;
}

std::vector<BlockSpec> ReadBack::fetch(std::span<const BlockSpec> expected, LayerRange layers,
                                       const std::string& label) {
  std::vector<BlockSpec> here(expected.begin(), expected.end()), stale;
  IdLists ids;
  for (std::uint32_t i = 0; i < here.size(); ++i) {
    here[i].block = i;
    stale.push_back({i, i, Fill::indexed, kStaleSeed});
    ids.local.push_back(i);
    ids.remote.push_back(expected[i].block);
  }
  work_.fill(pool_, stale, layers, label);
  TransferOptions options = transfer_;
  options.layers = layers;
  try {
    run_transfer(client_.server().peer, pool_, ids, Direction::pull, options, label, interrupts_);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::refused) throw;
    throw Error(error.code(), fmt::format("{}; a push that cannot read back what it wrote goes "
                                          "without verification: --no-verify",
                                          error.what()));
  }
  return here;
}

pattern::Mismatch ReadBack::compare(std::span<const BlockSpec> expected, LayerRange layers,
                                    const std::string& label) {
  pattern::Mismatch sum;
  if (layers.begin >= layers.end) return sum;
  while (!expected.empty()) {
    const auto piece = expected.first(std::min<std::size_t>(expected.size(), pool_.blocks()));
    expected = expected.subspan(piece.size());
    pattern::Mismatch found = work_.check(pool_, fetch(piece, layers, label), layers, label);
    if (found.bytes == 0) continue;
    found.block = piece[found.block].block;
    const std::uint64_t before = sum.bytes;
    if (before == 0) sum = found;
    sum.bytes = before + found.bytes;
  }
  return sum;
}

std::vector<BlockSpec> ReadBack::matching(std::span<const BlockSpec> expected, LayerRange layers,
                                          const std::string& label) {
  std::vector<BlockSpec> good;
  if (layers.begin >= layers.end) return good;
  while (!expected.empty()) {
    const auto piece = expected.first(std::min<std::size_t>(expected.size(), pool_.blocks()));
    expected = expected.subspan(piece.size());
    const std::vector<BlockSpec> here = fetch(piece, layers, label);
    if (work_.check(pool_, here, layers, label).bytes == 0) {
      good.insert(good.end(), piece.begin(), piece.end());
      continue;
    }
    for (std::size_t i = 0; i < here.size(); ++i) {
      if (work_.check(pool_, {here[i]}, layers, label).bytes == 0) good.push_back(piece[i]);
    }
  }
  return good;
}

}  // namespace kvferry::cli
