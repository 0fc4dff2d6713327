// What host_shm refuses, and in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "path/host_shm/host_shm_path.hpp"
#include "path/host_shm/test_pools.hpp"
#include "path/test_observer.hpp"

namespace kvferry::path {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::StartsWith;

TEST(HostShmRefusals, APoolOfThisProcessThatIsGoneIsNotUsable) {
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = describe(allocated(true));
  remote.same_process = true;
  const auto verdict = host_shm.judge(*local.state(), remote);
  EXPECT_FALSE(verdict.usable);
  EXPECT_THAT(verdict.reason, HasSubstr("is gone"));
  EXPECT_THAT(complaint([&] { host_shm.open(local.state(), std::move(remote)); }),
              StartsWith("refused"));
}

TEST(HostShmRefusals, SaysWhyItCannotServeAPair) {
  HostShmPath host_shm(1);
  const Pool local = allocated(false), theirs = allocated(false), own = attached(1, false);
  const auto reason = [&](RemoteEnd remote) {
    const auto verdict = host_shm.judge(*local.state(), remote);
    EXPECT_FALSE(verdict.usable);
    return verdict.reason;
  };
  EXPECT_THAT(reason(describe(theirs)), HasSubstr("0 file descriptors came with 1"));
  EXPECT_THAT(reason({}), HasSubstr("no memory"));
  RemoteEnd gpu = describe(theirs);
  gpu.offer.regions[0].chunks[0].kind = memory::ChunkKind::vmm_fd;
  EXPECT_THAT(reason(std::move(gpu)), HasSubstr("GPU memory"));
  EXPECT_THAT(reason(describe(own)), HasSubstr("another PID namespace"));
  RemoteEnd no_pidfd = describe(own);
  no_pidfd.pid = ::getppid();
  EXPECT_THAT(reason(std::move(no_pidfd)), HasSubstr("without a pidfd"));
  detail::PoolImpl on_gpu;
  on_gpu.device = Device::cuda(1);
  EXPECT_THAT(host_shm.judge(on_gpu, describe(theirs)).reason,
              HasSubstr("local pool is on cuda:1"));
}

TEST(HostShmRefusals, AReadOnlyPoolRefusesPushesBeforeAnythingIsWritten) {
  Owner owner([] { return allocated(false); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  const auto route = host_shm.open(local.state(), owner.connect());
  const auto ids = scattered(1);
  JobOptions options;
  options.direction = Direction::push;
  EXPECT_THAT(complaint([&] {
                start_copy(*route, plan::make_plan(route->local(), route->remote(), ids, ids, {}),
                           options, [] { FAIL() << "never started"; });
              }),
              HasSubstr("refused: push: the remote pool is not writable"));
}

TEST(HostShmRefusals, APeerThatLiesAboutWritableIsRefused) {
  Owner owner([] { return allocated(false); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  remote.writable = true;
  EXPECT_THAT(complaint([&] { host_shm.open(local.state(), std::move(remote)); }),
              HasSubstr("sealed against writing"));
}

TEST(HostShmRefusals, OptionsForGpusAreRefusedByName) {
  HostShmPath host_shm(1);
  const Pool theirs = allocated(true), local = allocated(false);
  RemoteEnd remote = describe(theirs);
  remote.same_process = true;
  const auto route = host_shm.open(local.state(), std::move(remote));
  const auto with = [&](auto change) {
    JobOptions options;
    change(options);
    return complaint([&] { start_copy(*route, {}, options); });
  };
  EXPECT_THAT(with([](JobOptions& o) { o.stream = CudaStream{}; }),
              HasSubstr("invalid argument: stream: a CUDA stream needs a CUDA pool"));
  EXPECT_THAT(with([](JobOptions& o) { o.copy = CopyMethod::engine; }), HasSubstr("--copy"));
  EXPECT_THAT(with([](JobOptions& o) { o.copy = CopyMethod::kernel; }), HasSubstr("--copy"));
  EXPECT_EQ(with([](JobOptions& o) { o.max_sms = 4; }), "");
}

TEST(HostShmRefusals, OffersThatPointOutsideTheirMemoryAreRefused) {
  Owner owner([] { return allocated(true); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  const auto with = [&](auto change) {
    RemoteEnd remote = owner.connect();
    change(remote);
    return complaint([&] { host_shm.open(local.state(), std::move(remote)); });
  };
  EXPECT_EQ(with([](RemoteEnd&) {}), "");
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.planes[4].offset += 1; }),
              HasSubstr("refused: the peer offers a plane"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.planes[0].offset = ~0ull; }), HasSubstr("refused"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.planes[0].region = 1; }), HasSubstr("of region 1"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.planes.pop_back(); }), HasSubstr("4 planes for 5"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.parts = 0; }), HasSubstr("0 parts"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.parts = 3; }), HasSubstr("3 parts"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.block_stride -= 1; }), HasSubstr("with stride"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.offer.block_stride = ~0ull / 2; }), HasSubstr("stride"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.blocks = 0; }), HasSubstr("0 blocks"));
  EXPECT_THAT(with([](RemoteEnd& r) { r.blocks = 61; }), HasSubstr("refused"));
  EXPECT_THAT(with([](RemoteEnd& r) {
                r.offer.regions[0].bytes *= 2;
                r.offer.regions[0].chunks[0].bytes *= 2;
              }),
              HasSubstr("the peer's memory holds"));
}

TEST(HostShmRefusals, PrivateOffersThatAreNotARangeAreRefused) {
  Owner owner([] { return attached(1, true); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  for (auto& region : remote.offer.regions) region.chunks[0].address = ~0ull - 100;
  EXPECT_THAT(complaint([&] { host_shm.open(local.state(), std::move(remote)); }),
              HasSubstr("refused: the peer offers private memory"));
}

TEST(HostShmRefusals, AnUnmappedAddressIsJudgedAndReported) {
  Owner owner([] { return attached(1, true); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  for (auto& region : remote.offer.regions) region.chunks[0].address = 4096;
  const auto verdict = host_shm.judge(*local.state(), remote);
  EXPECT_FALSE(verdict.usable);
  EXPECT_THAT(verdict.reason, HasSubstr("no longer mapped"));
  const auto route = host_shm.open(local.state(), std::move(remote));
  const auto ids = scattered(1);
  const auto plan = plan::make_plan(route->remote(), route->local(), ids, ids, {});
  const auto result = run(*route, plan, Direction::pull);
  EXPECT_FALSE(result.moved_all);
  EXPECT_THAT(result.error, HasSubstr("no longer mapped"));
}

}  // namespace
}  // namespace kvferry::path
