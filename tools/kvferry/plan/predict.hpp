#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kvferry/shape.hpp"
#include "plan/links.hpp"

// What a cache's geometry means for requests and transfers. Pure.
namespace kvferry::cli::planning {

// The blocks that a request of so many tokens takes, in every layer.
struct Work {
  std::uint64_t blocks = 0;  // in each layer
  std::uint64_t pieces = 0;  // blocks x layers: what one copy per block per layer would copy
  std::uint64_t bytes = 0;
  friend bool operator==(const Work&, const Work&) = default;
};

// A request is planned for up to here; more is a slip of the keyboard.
inline constexpr std::uint64_t kMaxRequestBytes = std::uint64_t{1} << 50;  // 1 PiB

// Absent where the request is larger than kMaxRequestBytes. Requires: shape.validate() passes,
// 1 <= tokens <= 2^40.
std::optional<Work> work_of(const CacheShape& shape, std::uint64_t tokens);

// start + bytes / rate: one fused copy of scattered blocks.
double fused_seconds(const Link& link, std::uint64_t bytes);
// start + the larger of bytes / rate and pieces x post: one copy for each block of each layer,
// posted while earlier ones move. Absent where the link has no posting cost.
std::optional<double> copies_seconds(const Link& link, const Work& work);

struct Prediction {
  double seconds = 0;         // this rank's work on a link of its own
  double shared_seconds = 0;  // the work of all ranks, one link between them
  std::optional<double> copies_seconds;
};

struct Request {
  std::uint64_t tokens = 0;
  Work work;                   // of one rank
  std::uint64_t held = 0;      // requests of this length that the memory holds at once
  std::vector<Prediction> on;  // one for each link
};

// One way to cut the cache, with what it means.
struct Variant {
  CacheShape shape;          // of one rank
  std::uint32_t ranks = 1;   // of tensor parallelism
  std::uint32_t copies = 1;  // ranks that hold the same head
  std::uint64_t blocks = 0;  // in each layer, that the memory of one rank holds
  std::string refused;       // why nobody can use it; then the rest is empty
  std::vector<Request> requests;
};

struct Inputs {
  CacheShape shape;  // of the whole model: one rank
  std::uint64_t memory_bytes = 0;
  std::vector<std::uint64_t> tokens;
  std::vector<Link> links;
};

// The cache as given. Throws: Error{invalid_argument} for a request beyond kMaxRequestBytes.
Variant plan_cache(const Inputs& inputs);
// The same with another block size: 8, 16, 32, 64 and 128 tokens, and the given one.
std::vector<Variant> plan_block_sizes(const Inputs& inputs);
// The same on 1, 2, 4 and 8 ranks of tensor parallelism, as vLLM and SGLang split it: heads are
// divided, or, where there are fewer than ranks, each is held by several; an MLA latent is held by
// all.
std::vector<Variant> plan_ranks(const Inputs& inputs);

}  // namespace kvferry::cli::planning
