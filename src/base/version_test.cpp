#include "kvferry/version.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace kvferry {
namespace {

TEST(Version, IsTheHeaders) {
  EXPECT_EQ(version(), fmt::format("{}.{}.{}", KVFERRY_VERSION_MAJOR, KVFERRY_VERSION_MINOR,
                                   KVFERRY_VERSION_PATCH));
}

TEST(Version, DescriptionSaysWhetherThereIsCuda) {
  const std::string description(build_description());
  EXPECT_THAT(description, testing::StartsWith(std::string(version()) + ", "));
#ifdef KVFERRY_WITH_CUDA
  EXPECT_THAT(description, testing::ContainsRegex("CUDA [0-9]+\\.[0-9]+ \\(sm_[0-9]+.*\\)$"));
#else
  EXPECT_THAT(description, testing::EndsWith(", without CUDA"));
#endif
}

}  // namespace
}  // namespace kvferry
