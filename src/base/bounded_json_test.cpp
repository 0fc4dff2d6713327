#include "base/bounded_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvferry {
namespace {

using ::testing::HasSubstr;

constexpr JsonLimits kSmall{.bytes = 100, .values = 5, .depth = 2};

std::string refusal(std::string_view text) {
  try {
    parse_bounded(text, "the answer", kSmall, ErrorCode::refused);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    EXPECT_THAT(error.what(), testing::StartsWith("the answer: "));
    return error.what();
  }
  return "nothing";
}

TEST(BoundedJson, GivesWhatIsWithinItsLimits) {
  EXPECT_EQ(parse_bounded(R"({"a": [1, 3]})", "x", kSmall)["a"][1], 3);
  EXPECT_EQ(refusal("[1, 2, 3, 4]"), "nothing");
}

TEST(BoundedJson, RefusesMore) {
  EXPECT_THAT(refusal("[1, 2, 3, 4, 5]"), HasSubstr("more than 5 values"));
  EXPECT_THAT(refusal("[[[1]]]"), HasSubstr("more than 2 levels"));
  EXPECT_THAT(refusal(std::string(101, ' ')), HasSubstr("has 101 bytes; at most 100 are read"));
  // Brackets alone, that never end.
  EXPECT_THAT(refusal(std::string(90, '[')), HasSubstr("more than 2 levels"));
}

TEST(BoundedJson, NamesThePlaceThatIsWrong) {
  EXPECT_THAT(refusal(""), HasSubstr("not valid JSON at byte 1, line 1"));
  EXPECT_THAT(refusal("[1,\n\n2,x]"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("[1e999]"), HasSubstr("the number is too large"));
  EXPECT_THAT(refusal("{} {}"), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace kvferry
