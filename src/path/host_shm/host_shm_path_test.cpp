#include "path/host_shm/host_shm_path.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "path/host_shm/test_pools.hpp"

namespace kvferry::path {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::StartsWith;

// Pulls layers [1, 4) of scattered blocks and looks at every byte, moved or not.
void expect_pull(Route& route, const Pool& local) {
  fill(local, 2);
  const auto from = scattered(3), to = scattered(4);
  const auto result =
      run(route, plan::make_plan(route.remote(), route.local(), from, to, {1, 4}), Direction::pull);
  EXPECT_TRUE(result.moved_all) << result.error;
  for (std::uint32_t layer = 0; layer < test_shape().layers; ++layer) {
    for (std::uint32_t id = 0; id < kBlocks; ++id) {
      const auto place = std::ranges::find(to, id) - to.begin();
      const bool moved = layer >= 1 && layer < 4 && place < static_cast<std::ptrdiff_t>(to.size());
      ASSERT_EQ(
          block(local, layer, id),
          moved ? pattern(1, layer, from[static_cast<std::size_t>(place)]) : pattern(2, layer, id))
          << "layer " << layer << ", block " << id;
    }
  }
}

void expect_push(Route& route, const Pool& local, Owner& owner) {
  fill(local, 5);
  const auto from = scattered(6), to = scattered(7);
  const auto result =
      run(route, plan::make_plan(route.local(), route.remote(), from, to, {1, 4}), Direction::push);
  EXPECT_TRUE(result.moved_all) << result.error;
  for (std::uint32_t layer = 0; layer < test_shape().layers; ++layer) {
    for (std::uint32_t id = 0; id < kBlocks; ++id) {
      const auto place = std::ranges::find(to, id) - to.begin();
      const bool moved = layer >= 1 && layer < 4 && place < static_cast<std::ptrdiff_t>(to.size());
      ASSERT_EQ(
          owner.block_there(layer, id),
          moved ? pattern(5, layer, from[static_cast<std::size_t>(place)]) : pattern(1, layer, id))
          << "layer " << layer << ", block " << id;
    }
  }
}

TEST(HostShmPath, PullsFromAndPushesIntoAnotherProcessesMemfd) {
  Owner owner([] { return allocated(true); });
  HostShmPath host_shm(2);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  const auto verdict = host_shm.judge(*local.state(), remote);
  EXPECT_TRUE(verdict.usable);
  EXPECT_FALSE(verdict.slow);
  EXPECT_EQ(verdict.path, "host_shm");
  EXPECT_THAT(verdict.reason, StartsWith("maps the peer's memory: "));
  const auto route = host_shm.open(local.state(), std::move(remote));
  expect_pull(*route, local);
  expect_push(*route, local, owner);
}

TEST(HostShmPath, PullsFromAndPushesIntoAnotherProcessesPrivateMemory) {
  Owner owner([] { return attached(1, true); });
  HostShmPath host_shm(2);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  const auto verdict = host_shm.judge(*local.state(), remote);
  EXPECT_TRUE(verdict.usable) << verdict.reason;
  EXPECT_FALSE(verdict.slow);
  EXPECT_THAT(verdict.reason, HasSubstr("process_vm_readv, about half the speed"));
  const auto route = host_shm.open(local.state(), std::move(remote));
  expect_pull(*route, local);
  expect_push(*route, local, owner);
}

// A forked owner has its memory at the very addresses that ours has here: not an overlap.
TEST(HostShmPath, PrivateMemoryAtTheSameAddressesElsewhereIsNotOurs) {
  const Pool local = attached(1, false);
  Owner owner([&] { return local; });
  HostShmPath host_shm(2);
  const auto route = host_shm.open(local.state(), owner.connect());
  EXPECT_EQ(route->local().plane_base, route->remote().plane_base);
  expect_pull(*route, local);
}

TEST(HostShmPath, KeysAndValuesApartOnEitherSide) {
  for (const bool apart_here : {false, true}) {
    for (const bool private_there : {false, true}) {
      Owner owner(
          [&] { return private_there ? attached(apart_here ? 1 : 2, true) : allocated(true); });
      HostShmPath host_shm(2);
      const Pool local = attached(apart_here ? 2 : 1, false);
      const auto route = host_shm.open(local.state(), owner.connect());
      expect_pull(*route, local);
      expect_push(*route, local, owner);
    }
  }
}

TEST(HostShmPath, TwoPoolsOfOneProcessUseOurOwnRecordOfTheAddress) {
  HostShmPath host_shm(2);
  const Pool theirs = attached(1, true), local = allocated(false);
  fill(theirs, 1);
  RemoteEnd remote = describe(theirs);
  remote.same_process = true;
  // Whatever the wire says.
  for (auto& region : remote.offer.regions) region.chunks[0].address = 0x1000;
  EXPECT_THAT(host_shm.judge(*local.state(), remote).reason,
              StartsWith("both pools are of this process"));
  const auto route = host_shm.open(local.state(), std::move(remote));
  expect_pull(*route, local);
}

TEST(HostShmPath, ADeadOwnersPrivateMemoryIsAnErrorAndItsMemfdIsNot) {
  for (const bool private_there : {false, true}) {
    Owner owner([&] { return private_there ? attached(1, true) : allocated(true); });
    HostShmPath host_shm(2);
    const Pool local = allocated(false);
    const auto route = host_shm.open(local.state(), owner.connect());
    RemoteEnd again = owner.connect();
    owner.kill();
    if (!private_there) {
      expect_pull(*route, local);
      continue;
    }
    const auto ids = scattered(1);
    for (const auto direction : {Direction::pull, Direction::push}) {
      const bool pull = direction == Direction::pull;
      const auto plan = plan::make_plan(pull ? route->remote() : route->local(),
                                        pull ? route->local() : route->remote(), ids, ids, {});
      const auto result = run(*route, plan, direction);
      EXPECT_FALSE(result.moved_all);
      EXPECT_FALSE(result.aborted);
      EXPECT_THAT(result.error, HasSubstr("the peer process has ended"));
    }
    EXPECT_THAT(host_shm.judge(*local.state(), again).reason, HasSubstr("has ended"));
  }
}

TEST(HostShmPath, RoutesComeAndGoWhileTheirPageTablesFill) {
  Owner owner([] { return allocated(true); });
  HostShmPath host_shm(2);
  const Pool local = allocated(false);
  for (int i = 0; i < 50; ++i) {
    const auto route = host_shm.open(local.state(), owner.connect());
    if (i % 10 == 0) expect_pull(*route, local);
  }
}

TEST(HostShmPath, OneRouteCarriesManyTransfersAtOnce) {
  Owner owner([] { return allocated(true); });
  HostShmPath host_shm(2);
  const Pool local = allocated(false);
  const auto route = host_shm.open(local.state(), owner.connect());
  fill(local, 2);
  // Each layer by a transfer of its own, from a thread of its own.
  std::vector<std::uint32_t> ids(kBlocks);
  std::iota(ids.begin(), ids.end(), 0u);
  {
    std::vector<std::jthread> callers;
    for (std::uint32_t layer = 0; layer < test_shape().layers; ++layer) {
      callers.emplace_back([&, layer] {
        const auto plan =
            plan::make_plan(route->remote(), route->local(), ids, ids, {layer, layer + 1});
        EXPECT_TRUE(run(*route, plan, Direction::pull).moved_all);
      });
    }
  }
  for (std::uint32_t layer = 0; layer < test_shape().layers; ++layer) {
    for (std::uint32_t id = 0; id < kBlocks; ++id) {
      ASSERT_EQ(block(local, layer, id), pattern(1, layer, id));
    }
  }
}

}  // namespace
}  // namespace kvferry::path
