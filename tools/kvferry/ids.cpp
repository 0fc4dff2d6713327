#include "ids.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

[[noreturn]] void bad(const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message);
}

template <typename Integer>
std::optional<Integer> whole_number(std::string_view text) {
  Integer value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || text.empty()) return std::nullopt;
  return value;
}

// `what` is wrong with a piece that no pool can hold.
[[noreturn]] void too_large(std::string_view piece, std::string_view what,
                            std::uint32_t pool_blocks) {
  bad(fmt::format(
      "{} {}{}", quote(piece), what,
      pool_blocks == 0 ? "" : fmt::format("; the local pool's highest id is {}", pool_blocks - 1)));
}

std::uint32_t parse_id(std::string_view text, std::string_view piece, std::uint32_t pool_blocks) {
  const std::optional<std::uint32_t> id = whole_number<std::uint32_t>(text);
  if (!id) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
    if (digits) too_large(piece, "is too large", pool_blocks);
    bad(fmt::format("{} is not a block id or a range of them; give ids like 0-7,12,40",
                    quote(piece)));
  }
  return *id;
}

void append_piece(std::string_view piece, std::uint32_t pool_blocks,
                  std::vector<std::uint32_t>& ids) {
  const std::size_t dash = piece.find('-');
  const std::uint32_t begin = parse_id(piece.substr(0, dash), piece, pool_blocks);
  std::uint32_t last = begin;
  if (dash != std::string_view::npos) last = parse_id(piece.substr(dash + 1), piece, pool_blocks);
  if (last < begin) {
    bad(fmt::format("{} runs backwards; give the lower id first", quote(piece)));
  }
  if (ids.size() + (std::uint64_t{last} - begin) + 1 > kMaxListedIds) {
    too_large(piece, fmt::format("makes the list longer than {} ids", kMaxListedIds), pool_blocks);
  }
  for (std::uint64_t id = begin; id <= last; ++id) ids.push_back(static_cast<std::uint32_t>(id));
}

std::optional<IdChoice> parse_scattered(std::string_view text) {
  constexpr std::string_view kWord = "scattered";
  if (!text.starts_with(kWord)) return std::nullopt;
  IdChoice choice{.kind = IdChoice::Kind::scattered, .seed = 0, .ids = {}};
  if (text == kWord) return choice;
  const std::string_view rest = text.substr(kWord.size());
  const auto seed =
      rest.front() == ':' ? whole_number<std::uint64_t>(rest.substr(1)) : std::nullopt;
  if (!seed) {
    bad(fmt::format("{} is not scattered or scattered:SEED with a whole number from 0 to 2^64-1",
                    quote(text)));
  }
  choice.seed = *seed;
  return choice;
}

IdChoice parse_choice(std::string_view text, std::string_view word, IdChoice::Kind kind,
                      std::uint32_t pool_blocks) {
  if (text == word) return {.kind = kind, .seed = 0, .ids = {}};
  if (auto scattered = parse_scattered(text)) return *scattered;
  if (text.empty() || text.front() < '0' || text.front() > '9') {
    bad(fmt::format("{} is not {}, scattered[:SEED] or a list of ids like 0-7,12,40", quote(text),
                    word));
  }
  return {.kind = IdChoice::Kind::list, .seed = 0, .ids = parse_id_list(text, pool_blocks)};
}

// `listed`: the user named that many ids, so the number of tokens has no part in it.
void require_room(std::uint64_t count, std::uint32_t blocks, std::string_view side, bool listed) {
  if (count <= blocks) return;
  if (listed) {
    bad(fmt::format(
        "the list names {} ids, the {} pool has {} blocks (0 to {}); name fewer or give "
        "the {} side more --available-memory",
        count, side, blocks, blocks - 1, side));
  }
  bad(
      fmt::format("the transfer needs {} blocks, the {} pool has {}; lower --input-tokens or give "
                  "the {} side more --available-memory",
                  count, side, blocks, side));
}

void require_in_range(const std::vector<std::uint32_t>& ids, std::uint32_t blocks,
                      std::string_view side) {
  const auto out = std::find_if(ids.begin(), ids.end(), [&](auto id) { return id >= blocks; });
  if (out == ids.end()) return;
  bad(
      fmt::format("{} id {} (place {} of the list) is out of range: the {} pool has {} blocks, 0 "
                  "to {}",
                  side, *out, out - ids.begin(), side, blocks, blocks - 1));
}

void require_different(std::vector<std::uint32_t> ids, std::string_view side) {
  std::sort(ids.begin(), ids.end());
  const auto twice = std::adjacent_find(ids.begin(), ids.end());
  if (twice == ids.end()) return;
  bad(fmt::format("{} id {} comes twice; each block can be written only once in a transfer", side,
                  *twice));
}

std::vector<std::uint32_t> first_ids(std::uint32_t count) {
  std::vector<std::uint32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0u);
  return ids;
}

}  // namespace

std::vector<std::uint32_t> parse_id_list(std::string_view text, std::uint32_t pool_blocks) {
  std::vector<std::uint32_t> ids;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    append_piece(text.substr(at, comma - at), pool_blocks, ids);
    at = comma + 1;
  }
  return ids;
}

IdChoice parse_blocks(std::string_view text, std::uint32_t pool_blocks) {
  return parse_choice(text, "first", IdChoice::Kind::first, pool_blocks);
}

IdChoice parse_into(std::string_view text, std::uint32_t pool_blocks) {
  return parse_choice(text, "same", IdChoice::Kind::same, pool_blocks);
}

LayerRange parse_layer_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto begin = whole_number<std::uint32_t>(text.substr(0, colon));
    const auto end = whole_number<std::uint32_t>(text.substr(colon + 1));
    if (begin && end && *begin < *end) return {*begin, *end};
  }
  bad(fmt::format(
      "{} is not a range of layers; give A:B with A less than B (layers A to B-1), such "
      "as 0:20",
      quote(text)));
}

std::vector<std::uint32_t> scattered_ids(std::uint64_t seed, std::uint32_t pool_blocks,
                                         std::uint32_t count) {
  std::mt19937_64 random(seed);
  // Places that a swap has changed; every other place i still holds i.
  std::unordered_map<std::uint32_t, std::uint32_t> moved;
  const auto at = [&](std::uint32_t place) {
    const auto found = moved.find(place);
    return found == moved.end() ? place : found->second;
  };
  std::vector<std::uint32_t> ids(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto other = static_cast<std::uint32_t>(i + random() % (pool_blocks - i));
    ids[i] = at(other);
    moved[other] = at(i);
  }
  return ids;
}

std::uint64_t wanted_blocks(const IdChoice& blocks, const IdChoice& into,
                            std::uint64_t blocks_of_tokens, bool tokens_given) {
  const bool remote_list = blocks.kind == IdChoice::Kind::list;
  const bool local_list = into.kind == IdChoice::Kind::list;
  if (!remote_list && !local_list) return blocks_of_tokens;
  if (remote_list && local_list && blocks.ids.size() != into.ids.size()) {
    bad(fmt::format("--blocks names {} ids and --into names {}; both must name as many",
                    blocks.ids.size(), into.ids.size()));
  }
  const std::uint64_t listed = remote_list ? blocks.ids.size() : into.ids.size();
  if (tokens_given && listed != blocks_of_tokens) {
    bad(
        fmt::format("{} names {} ids, but --input-tokens needs {} blocks; leave --input-tokens out "
                    "where a list says which blocks",
                    remote_list ? "--blocks" : "--into", listed, blocks_of_tokens));
  }
  return listed;
}

IdLists resolve_ids(const IdChoice& blocks, const IdChoice& into, std::uint64_t count,
                    PoolSizes pools, Direction direction) {
  // A list's own ids say what is wrong with it; and a source may be read twice.
  const bool listed = blocks.kind == IdChoice::Kind::list;
  const bool into_listed = into.kind == IdChoice::Kind::list;
  if (!listed) require_room(count, pools.remote, "remote", into_listed);
  if (!listed && !into_listed) require_room(count, pools.local, "local", false);
  if (into.kind == IdChoice::Kind::scattered) require_room(count, pools.local, "local", listed);
  const auto n = static_cast<std::uint32_t>(count);
  IdLists lists;
  switch (blocks.kind) {
    case IdChoice::Kind::scattered:
      lists.remote = scattered_ids(blocks.seed, pools.remote, n);
      break;
    case IdChoice::Kind::list: lists.remote = blocks.ids; break;
    default: lists.remote = first_ids(n);
  }
  require_in_range(lists.remote, pools.remote, "remote");
  switch (into.kind) {
    case IdChoice::Kind::scattered: lists.local = scattered_ids(into.seed, pools.local, n); break;
    case IdChoice::Kind::list: lists.local = into.ids; break;
    default: lists.local = lists.remote;
  }
  require_in_range(lists.local, pools.local, "local");
  const bool pull = direction == Direction::pull;
  require_different(pull ? lists.local : lists.remote, pull ? "local" : "remote");
  return lists;
}

}  // namespace kvferry::cli
