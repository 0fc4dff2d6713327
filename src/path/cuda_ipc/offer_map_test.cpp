#include "path/cuda_ipc/offer_map.hpp"

#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::path {
namespace {

RemoteEnd two_layers() {
  RemoteEnd end;
  end.shape.layers = 2;
  end.shape.kv = 2;
  end.shape.kv_heads = 1;
  end.shape.head_dim = 4;
  end.shape.block_tokens = 1;
  end.blocks = 10;  // of 16 bytes
  end.offer.parts = 1;
  end.offer.block_stride = 16;
  memory::RegionOffer region;
  region.bytes = 1000;
  end.offer.regions = {region, region};
  end.offer.planes = {{0, 0}, {1, 840}};
  return end;
}

const std::uint64_t kAddresses[] = {0x10000, 0x20000};

TEST(OfferMap, PlacesPlanes) {
  const auto map = map_offer(two_layers(), kAddresses);
  EXPECT_EQ(map.plane_base, (std::vector<std::uint64_t>{0x10000, 0x20000 + 840}));
  EXPECT_EQ(map.row_bytes, 16u);
  EXPECT_EQ(map.blocks, 10u);
}

template <typename Change>
void expect_refused(Change change) {
  RemoteEnd end = two_layers();
  change(end);
  try {
    map_offer(end, kAddresses);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::refused);
  }
}

TEST(OfferMap, RefusesWhatReachesOutside) {
  expect_refused([](RemoteEnd& e) { e.offer.planes[1].offset = 841; });
  expect_refused([](RemoteEnd& e) { e.offer.planes[1].offset = UINT64_MAX - 8; });
  expect_refused([](RemoteEnd& e) { e.offer.planes[0].region = 2; });
  expect_refused([](RemoteEnd& e) { e.offer.planes.pop_back(); });
  expect_refused([](RemoteEnd& e) { e.offer.regions.pop_back(); });
  expect_refused([](RemoteEnd& e) { e.offer.block_stride = 15; });
  expect_refused([](RemoteEnd& e) { e.offer.block_stride = UINT64_MAX / 4; });
  expect_refused([](RemoteEnd& e) { e.offer.parts = 2; });
  expect_refused([](RemoteEnd& e) { e.offer.parts = 0; });
  expect_refused([](RemoteEnd& e) { e.offer.parts = 3; });
  expect_refused([](RemoteEnd& e) { e.blocks = 0; });
  expect_refused([](RemoteEnd& e) { e.blocks = 63; });
}

}  // namespace
}  // namespace kvferry::path
