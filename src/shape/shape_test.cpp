#include "kvferry/shape.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "kvferry/error.hpp"

namespace kvferry {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Shape, TheSeedsNumbers) {
  const CacheShape shape;
  EXPECT_EQ(shape.block_bytes(), 65'536u);
  EXPECT_EQ(shape.blocks_for(4ull << 30), 1638u);
  EXPECT_EQ(shape.blocks_for_tokens(1024), 64u);
  EXPECT_EQ(shape.to_string(), "40 layers x 2 x 8 heads x 128 dims x 16 tokens, bf16");
}

TEST(Shape, BlocksRoundDownTwiceAndTokensUp) {
  const CacheShape shape;
  EXPECT_EQ(shape.blocks_for(40 * 65'536 - 1), 0u);
  EXPECT_EQ(shape.blocks_for(40 * 65'536), 1u);
  EXPECT_EQ(shape.blocks_for(0), 0u);
  EXPECT_EQ(shape.blocks_for(UINT64_MAX), UINT64_MAX / 65'536 / 40);
  EXPECT_EQ(shape.blocks_for_tokens(0), 0u);
  EXPECT_EQ(shape.blocks_for_tokens(1), 1u);
  EXPECT_EQ(shape.blocks_for_tokens(17), 2u);
  EXPECT_EQ(shape.blocks_for_tokens(UINT64_MAX), 1ull << 60);
}

TEST(Shape, DtypesByName) {
  const std::vector<std::pair<DType, std::uint32_t>> sizes{
      {DType::bf16, 2},     {DType::fp16, 2},     {DType::fp32, 4},
      {DType::fp8_e4m3, 1}, {DType::fp8_e5m2, 1}, {DType::int8, 1}};
  for (const auto& [dtype, bytes] : sizes) {
    EXPECT_EQ(dtype_bytes(dtype), bytes);
    EXPECT_EQ(parse_dtype(to_string(dtype)), dtype);
  }
  EXPECT_EQ(to_string(DType::fp8_e5m2), "fp8_e5m2");
  for (const char* text : {"bfloat16", "BF16", "", "bf16 "}) {
    EXPECT_THAT(message_of([text] { parse_dtype(text); }),
                testing::AllOf(HasSubstr(fmt::format("'{}'", text)), HasSubstr("fp8_e4m3")));
  }
}

TEST(Shape, ValidateNamesTheFirstBadField) {
  using Change = std::function<void(CacheShape&)>;
  const std::vector<std::pair<Change, std::string>> bad{
      {[](CacheShape& s) { s.layers = 0; }, "layers is 0;"},
      {[](CacheShape& s) { s.layers = 65'537; }, "layers is 65537;"},
      {[](CacheShape& s) { s.kv = 0; }, "kv is 0;"},
      {[](CacheShape& s) { s.kv = 3; }, "kv is 3;"},
      {[](CacheShape& s) { s.kv_heads = 0; }, "kv_heads is 0;"},
      {[](CacheShape& s) { s.kv_heads = UINT32_MAX; }, "kv_heads is 4294967295;"},
      {[](CacheShape& s) { s.head_dim = 0; }, "head_dim is 0;"},
      {[](CacheShape& s) { s.head_dim = 65'537; }, "head_dim is 65537;"},
      {[](CacheShape& s) { s.block_tokens = 0; }, "block_tokens is 0;"},
      {[](CacheShape& s) { s.block_tokens = 65'537; }, "block_tokens is 65537;"},
      {[](CacheShape& s) { s.dtype = static_cast<DType>(6); }, "dtype has the unknown number 6"},
      {[](CacheShape& s) { s.head_dim = s.block_tokens = 65'536; }, "block_bytes is 137438953472"},
      {[](CacheShape& s) { s.head_dim = 0, s.layers = 0; }, "layers is 0;"},
  };
  for (const auto& [change, expected] : bad) {
    CacheShape shape;
    change(shape);
    EXPECT_THAT(message_of([&shape] { shape.validate(); }), testing::StartsWith(expected));
  }
  CacheShape largest{65'536, 1, 1, 65'536, 8192, DType::fp16};  // 1 GiB a block exactly
  EXPECT_EQ(message_of([&largest] { largest.validate(); }), "no error");
  largest.block_tokens = 8193;
  EXPECT_THAT(message_of([&largest] { largest.validate(); }), HasSubstr("at most 1073741824"));
}

TEST(Shape, DiffListsEveryFieldInOrder) {
  const CacheShape ours, theirs{41, 1, 4, 64, 32, DType::fp16};
  EXPECT_TRUE(diff(ours, ours).empty());
  std::vector<std::string> fields;
  for (const FieldDiff& field : diff(ours, theirs)) fields.push_back(field.field);
  EXPECT_THAT(fields, testing::ElementsAre("layers", "kv", "kv_heads", "head_dim", "block_tokens",
                                           "dtype"));
  CacheShape one = ours;
  one.head_dim = 64;
  const auto rows = diff(ours, one);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].field, "head_dim");
  EXPECT_EQ(rows[0].ours, "128");
  EXPECT_EQ(rows[0].theirs, "64");
}

TEST(Shape, TableIsAligned) {
  CacheShape theirs;
  theirs.block_tokens = 32;
  theirs.dtype = DType::fp8_e4m3;
  EXPECT_EQ(format_table(diff({}, theirs)),
            "field         ours  theirs\n"
            "block_tokens  16    32\n"
            "dtype         bf16  fp8_e4m3");
  EXPECT_EQ(format_table({}), "");
}

}  // namespace
}  // namespace kvferry
