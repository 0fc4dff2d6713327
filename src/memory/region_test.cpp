#include "memory/region.hpp"

#include <gtest/gtest.h>

#include <set>

#include "memory/pool_impl.hpp"

namespace kvferry::memory {
namespace {

TEST(Region, IdsAreDistinct) {
  std::byte byte{};
  std::set<RegionId> ids;
  for (int i = 0; i < 100; ++i) ids.insert(attach_host(&byte, 1)->id());
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_EQ(ids.count(RegionId{}), 0u);
}

TEST(Region, OfferRepeatsWhatTheRegionIs) {
  std::byte bytes[100];
  const auto region = attach_host(bytes, sizeof bytes);
  const RegionOffer offered = offer(*region);
  EXPECT_EQ(offered.id, region->id());
  EXPECT_EQ(offered.bytes, 100u);
  ASSERT_EQ(offered.chunks.size(), 1u);
  EXPECT_EQ(offered.chunks[0].kind, ChunkKind::host_private);
  EXPECT_EQ(offered.chunks[0].bytes, 100u);
  EXPECT_EQ(offered.chunks[0].address, reinterpret_cast<std::uintptr_t>(bytes));
}

TEST(Region, FindLocalKeepsNothingAlive) {
  std::byte byte{};
  auto region = attach_host(&byte, 1);
  const RegionId id = region->id();
  EXPECT_EQ(find_local(id), nullptr);
  remember_local(region);
  EXPECT_EQ(find_local(id), region);
  region.reset();
  EXPECT_EQ(find_local(id), nullptr);
}

TEST(Region, ManyRememberedRegionsAreFoundWhileTheyLive) {
  std::byte byte{};
  std::vector<std::shared_ptr<Region>> kept;
  for (int i = 0; i < 1000; ++i) {
    const auto region = attach_host(&byte, 1);
    remember_local(region);
    if (i % 10 == 0) kept.push_back(region);
  }
  for (const auto& region : kept) EXPECT_EQ(find_local(region->id()), region);
}

}  // namespace
}  // namespace kvferry::memory
