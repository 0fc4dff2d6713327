#include "failure.hpp"

#include <gtest/gtest.h>

namespace kvferry::cli {
namespace {

TEST(Failure, codes_are_the_documented_keys_and_exit_codes) {
  const auto of = [](ErrorCode code) { return failure_of(Error(code, "why"), ""); };
  EXPECT_EQ(of(ErrorCode::deadline).code, "deadline");
  EXPECT_EQ(of(ErrorCode::deadline).exit_code, 5);
  EXPECT_EQ(of(ErrorCode::resource).code, "resource");
  EXPECT_EQ(of(ErrorCode::invalid_argument).code, "invalid_argument");
  EXPECT_EQ(of(ErrorCode::cancelled).code, "cancelled");
  EXPECT_EQ(of(ErrorCode::cancelled).exit_code, 130);
  EXPECT_EQ(of(ErrorCode::refused).message, "why");
}

TEST(Failure, a_deadline_is_named_where_the_user_gave_one) {
  EXPECT_EQ(name_deadline("x: the deadline passed before y", "1us"),
            "x: the deadline of 1us passed before y");
  EXPECT_EQ(name_deadline("it did not answer", "1s"),
            "the deadline of 1s passed: it did not answer");
  EXPECT_EQ(name_deadline("x: the deadline passed", "0.5"), "x: the deadline of 0.5s passed");
  EXPECT_EQ(name_deadline("the deadline passed", ""), "the deadline passed");
  EXPECT_EQ(failure_of(Error(ErrorCode::failed, "the deadline passed"), "1s").message,
            "the deadline passed");
}

}  // namespace
}  // namespace kvferry::cli
