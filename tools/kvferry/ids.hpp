#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kvferry/transfer.hpp"

// Which blocks: what --blocks and --into mean.
namespace kvferry::cli {

// What the user wrote, before the sizes of the pools are known.
struct IdChoice {
  enum class Kind : std::uint8_t { first, same, scattered, list };
  Kind kind = Kind::first;
  std::uint64_t seed = 0;          // of scattered
  std::vector<std::uint32_t> ids;  // of list
};

// Most ids one list may name: more than any pool has, few enough to hold.
inline constexpr std::uint64_t kMaxListedIds = std::uint64_t{1} << 24;

// "0-7,12,40": ids and inclusive ranges, in this order.
// Throws: Error{invalid_argument} quoting the piece that is wrong.
// `pool_blocks`, if known, is named where a piece is too large for any pool.
std::vector<std::uint32_t> parse_id_list(std::string_view text, std::uint32_t pool_blocks = 0);
// first | scattered[:SEED] | IDS. Throws: as parse_id_list.
IdChoice parse_blocks(std::string_view text, std::uint32_t pool_blocks = 0);
// same | scattered[:SEED] | IDS. Throws: as parse_id_list.
IdChoice parse_into(std::string_view text, std::uint32_t pool_blocks = 0);
// "A:B": layers A to B - 1. Throws: Error{invalid_argument} quoting the text.
LayerRange parse_layer_range(std::string_view text);

// `count` different ids of a pool of `pool_blocks`, the same on every machine: a Fisher-Yates
// shuffle of 0..pool_blocks-1 with x = std::mt19937_64(seed), of which the first `count` steps are
// taken: step i swaps place i with place i + x() % (pool_blocks - i). Time and memory O(count): the
// pool's size may be a stranger's word. Requires: count <= pool_blocks.
std::vector<std::uint32_t> scattered_ids(std::uint64_t seed, std::uint32_t pool_blocks,
                                         std::uint32_t count);

// How many blocks a transfer moves: as many as a list names, else as many as hold the tokens.
// `tokens_given`: the user gave --input-tokens, so a list of another length is a contradiction.
// Throws: Error{invalid_argument} naming both values.
std::uint64_t wanted_blocks(const IdChoice& blocks, const IdChoice& into,
                            std::uint64_t blocks_of_tokens, bool tokens_given);

struct IdLists {
  std::vector<std::uint32_t> remote, local;
};
struct PoolSizes {
  std::uint32_t remote = 0, local = 0;
};
// The ids of one transfer. Throws: Error{invalid_argument} for more blocks than a pool has, an id
// out of range, or a target id (pull: local, push: remote) that comes twice; names the values.
IdLists resolve_ids(const IdChoice& blocks, const IdChoice& into, std::uint64_t count,
                    PoolSizes pools, Direction direction);

}  // namespace kvferry::cli
