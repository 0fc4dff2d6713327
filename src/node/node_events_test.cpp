#include <gtest/gtest.h>

#include <limits>

#include "node/node_impl.hpp"

namespace kvferry::detail {
namespace {

// Peers say how much they moved; 32 lies of the largest size would wrap around.
TEST(NodeEvents, SumsOfWhatPeersSayDoNotWrapAround) {
  const auto node = std::make_shared<NodeImpl>(NodeOptions{});
  PeerEvent event;
  event.kind = PeerEvent::Kind::served;
  event.bytes = std::uint64_t{1} << 59;
  for (int i = 0; i < 40; ++i) node->tell(event);
  EXPECT_EQ(node->status().served_bytes, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(node->status().served_transfers, 40u);
}

}  // namespace
}  // namespace kvferry::detail
