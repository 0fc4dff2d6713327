#include "plan/predict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kvferry/error.hpp"
#include "units.hpp"

namespace kvferry::cli::planning {
namespace {

constexpr std::array<std::uint32_t, 5> kBlockSizes{8, 16, 32, 64, 128};
constexpr std::array<std::uint32_t, 4> kRanks{1, 2, 4, 8};

std::string too_large(std::uint64_t tokens) {
  return fmt::format("a request of {} tokens takes more than 1 PiB", format_count(tokens));
}

Request plan_request(const Inputs& inputs, const Variant& variant, std::uint64_t tokens,
                     const Work& work) {
  Request request{tokens, work, variant.blocks / work.blocks, {}};
  for (const Link& link : inputs.links) {
    request.on.push_back({fused_seconds(link, work.bytes),
                          fused_seconds(link, work.bytes * variant.ranks),
                          copies_seconds(link, work)});
  }
  return request;
}

// Everything that follows from the shape. What cannot be is said in `refused`.
void fill(const Inputs& inputs, Variant& variant) {
  try {
    variant.shape.validate();
  } catch (const Error& error) {  // the bounds are CacheShape's to know
    variant.refused = error.what();
    return;
  }
  variant.blocks = variant.shape.blocks_for(inputs.memory_bytes);
  for (const std::uint64_t tokens : inputs.tokens) {
    const std::optional<Work> work = work_of(variant.shape, tokens);
    if (!work) {
      variant.refused = too_large(tokens);
      variant.requests.clear();
      return;
    }
    variant.requests.push_back(plan_request(inputs, variant, tokens, *work));
  }
}

Variant plan_rank(const Inputs& inputs, std::uint32_t ranks) {
  Variant variant{.shape = inputs.shape, .ranks = ranks, .refused = {}, .requests = {}};
  const std::uint32_t heads = inputs.shape.kv_heads;
  const bool latent = inputs.shape.kv == 1;
  if (!latent && heads % ranks != 0 && ranks % heads != 0) {
    variant.refused =
        fmt::format("{} heads: neither divides the other; vLLM and SGLang refuse it", heads);
    return variant;
  }
  if (!latent) variant.shape.kv_heads = std::max(1u, heads / ranks);
  variant.copies = latent ? ranks : std::max(1u, ranks / heads);
  fill(inputs, variant);
  return variant;
}

}  // namespace

std::optional<Work> work_of(const CacheShape& shape, std::uint64_t tokens) {
  Work work;
  work.blocks = shape.blocks_for_tokens(tokens);
  const std::uint64_t block = shape.block_bytes();
  // At most 2^40 x 2^16 pieces: no overflow. Their bytes could.
  work.pieces = work.blocks * shape.layers;
  if (work.pieces > kMaxRequestBytes / block) return std::nullopt;
  work.bytes = work.pieces * block;
  return work;
}

double fused_seconds(const Link& link, std::uint64_t bytes) {
  return link.start_us * 1e-6 + static_cast<double>(bytes) / (link.gb_per_s * 1e9);
}

std::optional<double> copies_seconds(const Link& link, const Work& work) {
  if (link.post_us <= 0) return std::nullopt;
  const double moving = static_cast<double>(work.bytes) / (link.gb_per_s * 1e9);
  const double posting = static_cast<double>(work.pieces) * link.post_us * 1e-6;
  return link.start_us * 1e-6 + std::max(moving, posting);
}

Variant plan_cache(const Inputs& inputs) {
  Variant variant{.shape = inputs.shape, .refused = {}, .requests = {}};
  fill(inputs, variant);
  if (!variant.refused.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--tokens: {}; give less", variant.refused));
  }
  return variant;
}

std::vector<Variant> plan_block_sizes(const Inputs& inputs) {
  std::vector<std::uint32_t> sizes(kBlockSizes.begin(), kBlockSizes.end());
  if (std::ranges::find(sizes, inputs.shape.block_tokens) == sizes.end()) {
    sizes.push_back(inputs.shape.block_tokens);
    std::ranges::sort(sizes);
  }
  std::vector<Variant> variants;
  for (const std::uint32_t size : sizes) {
    Variant variant{.shape = inputs.shape, .refused = {}, .requests = {}};
    variant.shape.block_tokens = size;
    fill(inputs, variant);
    variants.push_back(std::move(variant));
  }
  return variants;
}

std::vector<Variant> plan_ranks(const Inputs& inputs) {
  std::vector<Variant> variants;
  variants.reserve(kRanks.size());
  for (const std::uint32_t ranks : kRanks) variants.push_back(plan_rank(inputs, ranks));
  return variants;
}

}  // namespace kvferry::cli::planning
