#include "memory/plane_layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "kvferry/error.hpp"

namespace kvferry::memory {
namespace {

using testing::HasSubstr;

std::vector<void*> pointers(const std::vector<std::uint64_t>& addresses) {
  std::vector<void*> result;
  for (const auto address : addresses) result.push_back(reinterpret_cast<void*>(address));
  return result;
}

std::string complaint(const PlaneLayout& layout) {
  try {
    layout.check();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
}

bool rows_share_bytes(const std::vector<std::uint64_t>& bases, const PlaneLayout& layout) {
  for (std::size_t p = 0; p < bases.size(); ++p) {
    for (std::size_t q = p + 1; q < bases.size(); ++q) {
      for (std::uint64_t i = 0; i < layout.blocks; ++i) {
        for (std::uint64_t j = 0; j < layout.blocks; ++j) {
          const std::uint64_t a = bases[p] + i * layout.block_stride;
          const std::uint64_t b = bases[q] + j * layout.block_stride;
          if (std::max(a, b) - std::min(a, b) < layout.row_bytes) return true;
        }
      }
    }
  }
  return false;
}

TEST(PlaneLayout, AgreesWithEveryPairOfRowsCompared) {
  std::mt19937 random(7);
  int refused = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const auto pick = [&](std::uint64_t from, std::uint64_t to) {
      return std::uniform_int_distribution<std::uint64_t>(from, to)(random);
    };
    PlaneLayout layout;
    layout.row_bytes = pick(1, 8);
    layout.block_stride = layout.row_bytes + pick(0, 30);
    layout.blocks = static_cast<std::uint32_t>(pick(1, 5));
    std::vector<std::uint64_t> bases(pick(1, 5));
    for (auto& base : bases) base = pick(1, 200);
    const auto raw = pointers(bases);
    layout.bases = raw;
    const bool shared = rows_share_bytes(bases, layout);
    ASSERT_EQ(!complaint(layout).empty(), shared)
        << "rows of " << layout.row_bytes << ", stride " << layout.block_stride << ", "
        << layout.blocks << " blocks, bases " << testing::PrintToString(bases);
    refused += shared;
  }
  EXPECT_GT(refused, 2000);
  EXPECT_LT(refused, 18000);
}

TEST(PlaneLayout, InterleavedLayersAreOneRange) {
  const auto raw = pointers({0x1000, 0x1010, 0x1020});
  const PlaneLayout layout{
      .bases = raw, .block_stride = 0x30, .row_bytes = 0x10, .blocks = 100, .parts = 1};
  layout.check();
  const auto ranges = spanned_ranges(layout);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].begin, 0x1000u);
  EXPECT_EQ(ranges[0].end, 0x1000u + 100 * 0x30);
}

TEST(PlaneLayout, RangesThatTouchMergeAndOthersDoNot) {
  // 10 blocks of 16 bytes: 160 bytes a plane.
  const auto raw = pointers({2000, 1000, 1160, 3000, 2161});
  const PlaneLayout layout{
      .bases = raw, .block_stride = 16, .row_bytes = 16, .blocks = 10, .parts = 1};
  layout.check();
  const auto ranges = spanned_ranges(layout);
  ASSERT_EQ(ranges.size(), 4u);
  EXPECT_EQ(ranges[0].begin, 1000u);
  EXPECT_EQ(ranges[0].end, 1320u);
  EXPECT_EQ(ranges[1].begin, 2000u);
  EXPECT_EQ(ranges[2].begin, 2161u);
  EXPECT_EQ(ranges[3].begin, 3000u);
}

TEST(PlaneLayout, NamesWhatIsWrong) {
  const auto raw = pointers({1000, 2000, 1000, 4000});
  PlaneLayout layout{.bases = raw, .block_stride = 16, .row_bytes = 16, .blocks = 2, .parts = 2};
  EXPECT_THAT(complaint(layout), HasSubstr("bases[0] (layer 0, K) at 0x3e8 and bases[2] (layer 1, "
                                           "K) at 0x3e8 share bytes"));
  layout.block_stride = 15;
  EXPECT_THAT(complaint(layout), HasSubstr("block_stride is 15 bytes, less than the 16 bytes"));
  layout.block_stride = ~0ull / 2;
  layout.blocks = 4;
  EXPECT_THAT(complaint(layout), HasSubstr("past the end of the address space"));
  layout.block_stride = 1ull << 62;
  layout.blocks = 4;
  const auto high = pointers({~0ull - 100});
  layout.bases = high;
  EXPECT_THAT(complaint(layout), HasSubstr("past the end of the address space"));
  const auto null = pointers({1000, 0});
  layout = {.bases = null, .block_stride = 16, .row_bytes = 16, .blocks = 2, .parts = 1};
  EXPECT_THAT(complaint(layout), HasSubstr("bases[1] (layer 1) is null"));
}

TEST(PlaneLayout, ManyPlanesAreCheckedQuickly) {
  std::vector<std::uint64_t> bases;
  for (std::uint64_t p = 0; p < 131072; ++p) bases.push_back((1ull << 40) + p * 64);
  const auto raw = pointers(bases);
  // All spans overlap all others: a comparison of all pairs would take 8 * 10^9 steps.
  const PlaneLayout layout{
      .bases = raw, .block_stride = 131072 * 64, .row_bytes = 64, .blocks = 1000, .parts = 1};
  layout.check();
  EXPECT_EQ(spanned_ranges(layout).size(), 1u);
}

}  // namespace
}  // namespace kvferry::memory
