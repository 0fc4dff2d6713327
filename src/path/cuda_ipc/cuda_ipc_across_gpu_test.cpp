#include <cstdlib>
#include <optional>

#include "memory/test_child.hpp"
#include "path/cuda_ipc/test_pools.hpp"

namespace kvferry::path {
namespace {

using memory::TestBytes;
using memory::TestChild;
using memory::TestSocket;

// In the child: a pool on the device its environment names, described to the parent.
TEST(CudaIpcChild, DISABLED_Owner) {
  TestSocket parent = TestSocket::inherited();
  const std::string kind = std::getenv("KVFERRY_TEST_POOL");
  const CacheShape shape = small_shape();
  std::vector<cuda::DeviceBuffer> buffers;
  const bool on_gpu = kind != "host" && kind != "host_read_only";
  std::optional<cuda::DeviceGuard> guard;
  if (on_gpu) guard.emplace(0);
  const Pool pool = [&] {
    PoolOptions options;
    options.writable = kind != "host_read_only";
    if (kind != "legacy")
      return Pool::allocate(on_gpu ? Device::cuda(0) : Device::host(), shape, kBlocks, options);
    AttachOptions attach;
    attach.shape = shape;
    attach.blocks = kBlocks;
    attach.options = options;
    for (std::uint32_t l = 0; l < shape.layers; ++l) {
      buffers.push_back(
          cuda::DeviceBuffer::allocate((l + 1) * 4096 + shape.block_bytes() * kBlocks));
      attach.bases.push_back(buffers.back().data() + l * 4096);
    }
    return Pool::attach(attach);
  }();
  const Bytes theirs = fill(pool, 1);
  RemoteEnd end = end_of(pool, false);
  TestBytes bytes;
  bytes.put(end.offer.parts);
  bytes.put(end.offer.block_stride);
  bytes.put_list(end.offer.planes);
  bytes.put<std::uint64_t>(end.offer.regions.size());
  for (const auto& region : end.offer.regions) bytes.put_region(region);
  parent.send(bytes.bytes(), end.fds);
  while (parent.receive_word() != 0) {
    // The parent wants our bytes: as they are now.
    const Bytes now = read(pool);
    std::vector<std::byte> raw(now.size());
    std::memcpy(raw.data(), now.data(), now.size());
    parent.send(raw);
  }
}

class CudaIpcAcross : public CudaIpcTest {
 protected:
  RemoteEnd receive_end(TestChild& child, bool writable) {
    RemoteEnd end;
    TestBytes bytes(child.socket().receive(&end.fds));
    end.offer.parts = bytes.get<std::uint32_t>();
    end.offer.block_stride = bytes.get<std::uint64_t>();
    end.offer.planes = bytes.get_list<memory::PlaneRef>();
    const auto regions = bytes.get<std::uint64_t>();
    for (std::uint64_t i = 0; i < regions; ++i) end.offer.regions.push_back(bytes.get_region());
    end.shape = small_shape();
    end.blocks = kBlocks;
    end.writable = writable;
    return end;
  }
  static Bytes bytes_of(TestChild& child) {
    child.socket().send_word(1);
    const auto raw = child.socket().receive();
    Bytes bytes(raw.size());
    std::memcpy(bytes.data(), raw.data(), raw.size());
    return bytes;
  }

  // Pulls from, and pushes into, a pool of another process.
  void check_with(const std::string& kind, Device device, std::vector<std::string> environment) {
    SCOPED_TRACE(kind + " " + device.to_string());
    environment.push_back("KVFERRY_TEST_POOL=" + kind);
    TestChild child("CudaIpcChild.DISABLED_Owner", environment);
    const bool writable = kind != "host_read_only";
    RemoteEnd end = receive_end(child, writable);
    const Pool local = make_pool(device);
    const auto verdict = path_.judge(*local.state(), end);
    if (!writable && !verdict.usable) {
      EXPECT_NE(verdict.reason.find("read-only"), std::string::npos) << verdict.reason;
      return;
    }
    ASSERT_TRUE(verdict.usable) << verdict.reason;
    const auto route = path_.open(local.state(), std::move(end));
    for (const Method& method : kMethods) {
      Bytes theirs = bytes_of(child);
      Bytes ours = fill(local, 77);
      const Ids pulled = scattered(41, kBlocks, 5);
      SCOPED_TRACE(run(*route, pulled, Direction::pull, method));
      ours = moved(local, theirs, ours, pulled.remote, pulled.local);
      EXPECT_TRUE(read(local) == ours);
      if (!writable) continue;
      const Ids pushed = scattered(43, kBlocks, 50);
      run(*route, pushed, Direction::push, method);
      theirs = moved(local, ours, theirs, pushed.local, pushed.remote);
      EXPECT_TRUE(bytes_of(child) == theirs);
    }
  }
};

TEST_F(CudaIpcAcross, SameGpu) {
  check_with("vmm", Device::cuda(0), {});
  check_with("legacy", Device::cuda(0), {});
}

TEST_F(CudaIpcAcross, PeerGpu) {
  if (devices_ < 2 || !cuda::can_reach(1, 0)) GTEST_SKIP() << "no usable GPU: two are needed";
  check_with("vmm", Device::cuda(1), {});
  check_with("legacy", Device::cuda(1), {});
}

// CUDA_VISIBLE_DEVICES=0 KVFERRY_TEST_HIDDEN_GPU=1: the owner's GPU is not visible here.
TEST_F(CudaIpcAcross, HiddenGpu) {
  const char* hidden = std::getenv("KVFERRY_TEST_HIDDEN_GPU");
  if (hidden == nullptr) GTEST_SKIP() << "no usable GPU: KVFERRY_TEST_HIDDEN_GPU names none";
  const std::vector<std::string> environment = {"CUDA_VISIBLE_DEVICES=" + std::string(hidden)};
  for (const char* kind : {"vmm", "legacy"})
    for (const Device device : {Device::cuda(0), Device::host()})
      check_with(kind, device, environment);
}

TEST_F(CudaIpcAcross, HostMemoryOfTheOther) {
  check_with("host", Device::cuda(0), {});
  check_with("host_read_only", Device::cuda(0), {});
}

TEST_F(CudaIpcAcross, OurHostMemory) {
  check_with("vmm", Device::host(), {});
  check_with("legacy", Device::host(), {});
}

TEST_F(CudaIpcAcross, AKilledOwnerLeavesItsMemoryReadable) {
  TestChild child("CudaIpcChild.DISABLED_Owner", {"KVFERRY_TEST_POOL=vmm"});
  const Pool local = make_pool(Device::cuda(devices_ - 1));
  const auto route = path_.open(local.state(), receive_end(child, true));
  const Bytes theirs = bytes_of(child);
  const Bytes ours = fill(local, 77);
  child.kill();
  const Ids ids = scattered(41, kBlocks, 5);
  run(*route, ids, Direction::pull, {});
  EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
}

TEST_F(CudaIpcAcross, TwoRoutesIntoOneLegacyAllocation) {
  TestChild child("CudaIpcChild.DISABLED_Owner", {"KVFERRY_TEST_POOL=legacy"});
  RemoteEnd end = receive_end(child, true);
  RemoteEnd again;
  again.offer = end.offer;
  again.shape = end.shape;
  again.blocks = end.blocks;
  again.writable = true;
  const Pool local = make_pool(Device::cuda(0));
  auto first = path_.open(local.state(), std::move(end));
  const auto second = path_.open(local.state(), std::move(again));
  EXPECT_EQ(first->remote().plane_base, second->remote().plane_base);
  first.reset();
  const Bytes theirs = bytes_of(child);
  const Bytes ours = fill(local, 77);
  const Ids ids = scattered(41, kBlocks, 5);
  run(*second, ids, Direction::pull, {});
  EXPECT_TRUE(read(local) == moved(local, theirs, ours, ids.remote, ids.local));
}

}  // namespace
}  // namespace kvferry::path
