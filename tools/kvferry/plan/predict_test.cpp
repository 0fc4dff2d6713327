#include "plan/predict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"
#include "shape/published_configs.hpp"

namespace kvferry::cli::planning {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kGib = std::uint64_t{1} << 30;

Inputs inputs_of(std::string_view config, std::vector<std::uint64_t> tokens) {
  return {shape_from_model_config(config), 4 * kGib, std::move(tokens), parse_links("nvlink4")};
}

Inputs inputs_of(const CacheShape& shape, std::uint64_t tokens) {
  return {shape, 4 * kGib, {tokens}, parse_links("nvlink4,host")};
}

// Llama-3.1-8B: 2 x 8 x 128 x 16 x 2 bytes = 64 KiB a block in each of 32 layers.
TEST(Predict, llama_by_hand) {
  const Variant v = plan_cache(inputs_of(shape::published::kLlama31, {1000}));
  EXPECT_EQ(v.shape.block_bytes(), 65536u);
  EXPECT_EQ(v.blocks, 2048u);  // 4 GiB / 64 KiB / 32
  const Request& r = v.requests.front();
  EXPECT_EQ(r.work, (Work{63, 2016, 132'120'576}));          // ceil(1000 / 16)
  EXPECT_EQ(r.held, 32u);                                    // 2048 / 63
  EXPECT_NEAR(r.on[0].seconds, 368.88e-6, 0.01e-6);          // 11.8 + 132120576 / 370e3
  EXPECT_NEAR(*r.on[0].copies_seconds, 7269.4e-6, 0.01e-6);  // 11.8 + 2016 x 3.6
}

// Mixtral 8x7B keeps the same cache as Llama-3.1-8B: experts have none.
TEST(Predict, mixtral_by_hand) {
  const Variant v = plan_cache(inputs_of(shape::published::kMixtral, {8192}));
  EXPECT_EQ(v.requests.front().work, (Work{512, 16384, kGib}));
  EXPECT_EQ(v.requests.front().held, 4u);
}

// DeepSeek-V3: one latent of 512 + 64 elements: 576 x 16 x 2 = 18,432 bytes a block, 61 layers.
TEST(Predict, deepseek_by_hand) {
  const Inputs inputs = inputs_of(shape::published::kDeepSeekV3, {1024});
  const Variant v = plan_cache(inputs);
  EXPECT_EQ(v.shape.block_bytes(), 18432u);
  EXPECT_EQ(v.blocks, 3819u);
  EXPECT_EQ(v.requests.front().work, (Work{64, 3904, 71'958'528}));
  // Tensor parallelism divides no latent: every rank has all of it.
  for (const Variant& rank : plan_ranks(inputs)) {
    EXPECT_EQ(rank.requests.front().work, v.requests.front().work);
    EXPECT_EQ(rank.copies, rank.ranks);
    EXPECT_DOUBLE_EQ(rank.requests.front().on[0].seconds, v.requests.front().on[0].seconds);
  }
  const Variant eight = plan_ranks(inputs).back();
  EXPECT_NEAR(eight.requests.front().on[0].shared_seconds, 1567.66e-6, 0.01e-6);
}

TEST(Predict, ranks_divide_heads) {
  const std::vector<Variant> ranks = plan_ranks(inputs_of(shape::published::kLlama31, {1024}));
  ASSERT_EQ(ranks.size(), 4u);
  for (const Variant& v : ranks) {
    SCOPED_TRACE(v.ranks);
    EXPECT_EQ(v.shape.kv_heads, 8 / v.ranks);
    EXPECT_EQ(v.copies, 1u);
    const Request& r = v.requests.front();
    EXPECT_EQ(r.work, (Work{64, 2048, 134'217'728 / v.ranks}));  // as many pieces, smaller
    EXPECT_EQ(r.held, 32u * v.ranks);
    EXPECT_DOUBLE_EQ(r.on[0].shared_seconds, ranks[0].requests[0].on[0].seconds);
  }
}

TEST(Predict, fewer_heads_than_ranks_are_held_by_several) {
  const std::vector<Variant> ranks = plan_ranks(inputs_of(shape::published::kQwen25, {1024}));
  EXPECT_EQ(ranks[2].shape.kv_heads, 1u);  // 4 heads, TP 4
  EXPECT_EQ(ranks[2].copies, 1u);
  EXPECT_EQ(ranks[3].shape.kv_heads, 1u);
  EXPECT_EQ(ranks[3].copies, 2u);
  EXPECT_EQ(ranks[3].requests.front().work, ranks[2].requests.front().work);
}

TEST(Predict, heads_that_do_not_divide_are_refused) {
  CacheShape shape;
  shape.kv_heads = 10;
  const std::vector<Variant> ranks = plan_ranks(inputs_of(shape, 1024));
  EXPECT_THAT(ranks[1].refused, IsEmpty());
  EXPECT_THAT(ranks[2].refused, HasSubstr("10 heads"));
  EXPECT_THAT(ranks[2].requests, IsEmpty());
}

TEST(Predict, block_sizes_change_pieces_and_padding) {
  Inputs inputs = inputs_of(shape::published::kLlama31, {1000});
  inputs.shape.block_tokens = 48;
  const std::vector<Variant> sizes = plan_block_sizes(inputs);
  ASSERT_EQ(sizes.size(), 6u);  // the given one has its place
  EXPECT_EQ(sizes[0].requests.front().work, (Work{125, 4000, 131'072'000}));
  EXPECT_EQ(sizes[3].shape.block_tokens, 48u);
  EXPECT_EQ(sizes[3].requests.front().work, (Work{21, 672, 132'120'576}));
  EXPECT_EQ(sizes[5].requests.front().work, (Work{8, 256, 134'217'728}));
}

TEST(Predict, large_pieces_hide_the_cost_of_posting) {
  const Link& nvlink = parse_links("nvlink").front();
  const Work large{1, 1, 37'000'000'000};
  EXPECT_DOUBLE_EQ(*copies_seconds(nvlink, large), fused_seconds(nvlink, large.bytes));
  EXPECT_FALSE(copies_seconds(parse_links("host").front(), large));
}

TEST(Predict, absurd_requests_are_refused_without_overflow) {
  CacheShape shape{.layers = 65536, .kv = 2, .kv_heads = 4096, .head_dim = 2048};
  shape.dtype = DType::fp32;  // 1 GiB a block: the most there is
  shape.validate();
  EXPECT_EQ(work_of(shape, 1)->bytes, kGib * 65536);
  EXPECT_EQ(work_of(shape, 16 * 16)->bytes, kMaxRequestBytes);
  EXPECT_FALSE(work_of(shape, 16 * 16 + 1));
  EXPECT_FALSE(work_of(shape, std::uint64_t{1} << 40));
  try {
    plan_cache(inputs_of(shape, std::uint64_t{1} << 40));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("--tokens"));
    EXPECT_THAT(error.what(), HasSubstr("1,099,511,627,776 tokens"));
  }
}

TEST(Predict, a_block_size_that_cannot_be_is_a_row_that_says_so) {
  CacheShape shape{.layers = 60000, .kv = 2, .kv_heads = 4096, .head_dim = 256};
  shape.dtype = DType::fp32;  // 8 MiB a token in each layer
  // 2,224 tokens are 139 blocks of 16; rounded up to a block of 128 they are beyond 1 PiB.
  const std::vector<Variant> sizes = plan_block_sizes(inputs_of(shape, 2224));
  EXPECT_THAT(sizes[1].refused, IsEmpty());
  EXPECT_THAT(sizes[4].refused, HasSubstr("1 PiB"));
  EXPECT_THAT(sizes[4].requests, IsEmpty());
  shape.head_dim = 2048;
  EXPECT_THAT(plan_block_sizes(inputs_of(shape, 1))[2].refused, HasSubstr("block_bytes"));
}

}  // namespace
}  // namespace kvferry::cli::planning
