#include "plan/distinct_ids.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>
#include <vector>

namespace kvferry::plan {
namespace {

using Ids = std::vector<std::uint32_t>;

std::optional<std::size_t> find_naively(const Ids& ids) {
  std::set<std::uint32_t> seen;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!seen.insert(ids[i]).second) return i;
  }
  return std::nullopt;
}

TEST(DistinctIds, AgreesWithASet) {
  std::mt19937 random(3);
  int repeated = 0;
  for (int trial = 0; trial < 5'000; ++trial) {
    // Ids on both sides of the largest table's end.
    const std::uint32_t offset = trial % 3 == 0 ? (1u << 22) - 100 : 0;
    Ids ids(random() % 30);
    for (auto& id : ids) id = offset + static_cast<std::uint32_t>(random() % 200);
    const auto expected = find_naively(ids);
    ASSERT_EQ(find_repeated(ids, offset + 199), expected) << "trial " << trial;
    repeated += expected ? 1 : 0;
  }
  EXPECT_GT(repeated, 1'000);
}

// What a call of long ago marked is not taken for a mark of this one.
TEST(DistinctIds, MarksOfOldCallsAreForgotten) {
  const Ids all{2, 1, 0}, others{1, 0};
  for (const int calls_between : {65'534, 65'535}) {
    ASSERT_FALSE(find_repeated(all, 2));
    for (int call = 0; call < calls_between; ++call) ASSERT_FALSE(find_repeated(others, 2));
    EXPECT_FALSE(find_repeated(all, 2)) << calls_between;
  }
}

TEST(DistinctIds, ThreadsDoNotShareMarks) {
  const Ids ids{5, 3, 4};
  std::vector<std::thread> threads;
  std::vector<int> found(4, 0);
  for (std::size_t t = 0; t < found.size(); ++t) {
    threads.emplace_back([&ids, &count = found[t]] {
      for (int i = 0; i < 1'000; ++i) count += find_repeated(ids, 5) ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(found, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace kvferry::plan
