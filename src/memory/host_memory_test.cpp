#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>

#include "base/scope_exit.hpp"
#include "kvferry/error.hpp"
#include "memory/available_memory.hpp"
#include "memory/mapped_range.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::memory {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kBytes = 64 << 10;

// "resource: message", or "" when nothing was thrown.
std::string complaint(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
}

std::vector<UniqueFd> descriptors(int fd) {
  std::vector<UniqueFd> fds;
  fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return fds;
}
std::vector<UniqueFd> descriptors(const Region& region) {
  return descriptors(region.fds().front().get());
}

UniqueFd memfd(std::uint64_t bytes, int seals) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

RegionOffer memfd_offer(std::uint64_t bytes, std::uint64_t offset = 0) {
  RegionOffer offered;
  offered.bytes = bytes;
  offered.chunks.push_back({.kind = ChunkKind::memfd, .bytes = bytes, .offset = offset});
  return offered;
}

TEST(HostMemory, AllocationIsZeroPrefaultedAndExportable) {
  const auto region = allocate_host(kBytes + 5, true);
  EXPECT_EQ(region->bytes(), kBytes + 5);
  EXPECT_FALSE(region->device().is_cuda());
  ASSERT_EQ(region->chunks().size(), 1u);
  EXPECT_EQ(region->chunks()[0].kind, ChunkKind::memfd);
  EXPECT_EQ(region->fds().size(), 1u);
  EXPECT_TRUE(std::all_of(region->base(), region->base() + region->bytes(),
                          [](std::byte b) { return b == std::byte{0}; }));
  std::vector<unsigned char> resident(kBytes / 4096);
  ASSERT_EQ(::mincore(region->base(), kBytes, resident.data()), 0);
  EXPECT_TRUE(std::ranges::all_of(resident, [](unsigned char r) { return (r & 1) != 0; }));
}

TEST(HostMemory, LargeAllocationsArePrefaultedByManyThreads) {
  const std::uint64_t bytes = 520ull << 20;
  if (available_host_bytes().value_or(0) < 2 * bytes) GTEST_SKIP() << "too little free memory";
  const auto region = allocate_host(bytes, true);
  std::vector<unsigned char> resident(bytes / 4096);
  ASSERT_EQ(::mincore(region->base(), bytes, resident.data()), 0);
  EXPECT_TRUE(std::ranges::all_of(resident, [](unsigned char r) { return (r & 1) != 0; }));
}

TEST(HostMemory, NobodyCanResizeOrUnsealIt) {
  for (const bool writable : {false, true}) {
    const auto region = allocate_host(kBytes, writable);
    const int fd = region->fds().front().get();
    EXPECT_EQ(::ftruncate(fd, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::ftruncate(fd, kBytes * 2), -1);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  }
}

TEST(HostMemory, AReadOnlyPoolCannotBeMappedForWritingByAnyone) {
  const auto region = allocate_host(kBytes, false);
  const int fd = region->fds().front().get();
  EXPECT_EQ(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::write(fd, "x", 1), -1);
  // A reader cannot turn its mapping into a writer's either.
  void* address = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(address, MAP_FAILED);
  const MappedRange range(address, kBytes);
  EXPECT_EQ(::mprotect(address, kBytes, PROT_READ | PROT_WRITE), -1);
  // The owner goes on writing.
  region->base()[0] = std::byte{7};
  EXPECT_EQ(range.address()[0], std::byte{7});
  EXPECT_THAT(complaint([&] { map_host(offer(*region), descriptors(*region), true); }),
              HasSubstr("refused: the peer's memory is sealed against writing"));
}

TEST(HostMemory, AWritablePoolIsMappedBothWays) {
  const auto region = allocate_host(kBytes, true);
  const auto writer = map_host(offer(*region), descriptors(*region), true);
  const auto reader = map_host(offer(*region), descriptors(*region), false);
  writer->base()[kBytes - 1] = std::byte{42};
  EXPECT_EQ(region->base()[kBytes - 1], std::byte{42});
  EXPECT_EQ(reader->base()[kBytes - 1], std::byte{42});
}

TEST(HostMemory, AMappingOutlivesItsOwnersRegionAndDescriptors) {
  auto region = allocate_host(kBytes, true);
  region->base()[9] = std::byte{9};
  const auto mapping = map_host(offer(*region), descriptors(*region), false);
  region.reset();
  EXPECT_EQ(mapping->base()[9], std::byte{9});
}

TEST(HostMemory, MapsAChunkFromAnyOffset) {
  const UniqueFd fd = memfd(kBytes, 0);
  ASSERT_EQ(::pwrite(fd.get(), "abc", 3, 5000), 3);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const auto mapping = map_host(memfd_offer(3, 5000), descriptors(fd.get()), false);
  EXPECT_EQ(std::memcmp(mapping->base(), "abc", 3), 0);
}

TEST(HostMemory, RefusesMemoryThatCouldVanish) {
  const auto refusal = [](int fd, std::uint64_t bytes, std::uint64_t offset = 0) {
    return complaint([&] { map_host(memfd_offer(bytes, offset), descriptors(fd), false); });
  };
  const UniqueFd loose = memfd(kBytes, 0);
  EXPECT_THAT(refusal(loose.get(), kBytes), HasSubstr("F_SEAL_SHRINK is not set"));
  const UniqueFd grow = memfd(kBytes, F_SEAL_GROW);
  EXPECT_THAT(refusal(grow.get(), kBytes), HasSubstr("refused: the peer's memory is not a memfd"));
  const UniqueFd null(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(refusal(null.get(), kBytes), HasSubstr("not a memfd sealed against shrinking"));

  const UniqueFd good = memfd(kBytes, F_SEAL_SHRINK);
  EXPECT_EQ(refusal(good.get(), kBytes), "");
  EXPECT_THAT(refusal(good.get(), kBytes + 1), HasSubstr("refused: the peer's memory holds 65536"));
  EXPECT_THAT(refusal(good.get(), kBytes, 1), HasSubstr("65536 bytes at offset 1"));
  EXPECT_THAT(refusal(good.get(), 16, ~0ull - 7), HasSubstr("refused"));
  EXPECT_THAT(refusal(good.get(), 0), HasSubstr("refused"));
}

TEST(HostMemory, RefusesOffersThatAreNotOneMemfd) {
  const UniqueFd fd = memfd(kBytes, F_SEAL_SHRINK);
  RegionOffer offered = memfd_offer(kBytes);
  EXPECT_THAT(complaint([&] { map_host(offered, {}, false); }), HasSubstr("0 descriptors"));
  offered.chunks[0].kind = ChunkKind::vmm_fd;
  EXPECT_THAT(complaint([&] { map_host(offered, descriptors(fd.get()), false); }),
              HasSubstr("refused"));
  offered = memfd_offer(kBytes);
  offered.bytes = kBytes - 1;
  EXPECT_THAT(complaint([&] { map_host(offered, descriptors(fd.get()), false); }),
              HasSubstr("expected one chunk of all bytes"));
  offered.chunks.clear();
  EXPECT_THAT(complaint([&] { map_host(offered, descriptors(fd.get()), false); }),
              HasSubstr("in 0 chunks"));
}

TEST(HostMemory, TooMuchIsAnErrorNotTheOomKiller) {
  EXPECT_THAT(complaint([] { allocate_host(1ull << 50, true); }),
              HasSubstr("local resource: cannot allocate 1125899906842624 bytes"));
  EXPECT_THAT(complaint([] { allocate_host(~0ull, true); }), HasSubstr("bytes available"));
  EXPECT_THAT(complaint([] { allocate_host(0, true); }), HasSubstr("invalid argument"));
}

TEST(HostMemory, TheFileSizeLimitIsAnErrorNotASignal) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const ScopeExit restore([&] { ::setrlimit(RLIMIT_FSIZE, &before); });
  rlimit low = before;
  low.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  EXPECT_THAT(complaint([] { allocate_host(kBytes, true); }), HasSubstr("ulimit -f"));
}

TEST(HostMemory, RegionsLeaveNoDescriptorsOrMappingsBehind) {
  const auto count = [](const char* file) {
    std::ifstream maps(file);
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  const auto pools = [] {
    std::ifstream maps("/proc/self/maps");
    const std::string text(std::istreambuf_iterator<char>(maps), {});
    return text.find("memfd:kvferry-pool") != std::string::npos;
  };
  {
    const auto region = allocate_host(kBytes, true);
    const auto mapping = map_host(offer(*region), descriptors(*region), true);
    EXPECT_TRUE(pools());
  }
  EXPECT_FALSE(pools());
  const auto maps = count("/proc/self/maps");
  const int lowest_free = descriptors(STDIN_FILENO).front().get();
  for (int i = 0; i < 20; ++i) {
    const auto region = allocate_host(kBytes, true);
    const auto mapping = map_host(offer(*region), descriptors(*region), true);
  }
  EXPECT_EQ(descriptors(STDIN_FILENO).front().get(), lowest_free);
  EXPECT_NEAR(static_cast<double>(count("/proc/self/maps")), static_cast<double>(maps), 5);
}

TEST(HostMemory, AttachedMemoryHasNoDescriptorAndNoMapping) {
  std::byte bytes[64];
  const auto region = attach_host(bytes, sizeof bytes);
  EXPECT_EQ(region->base(), bytes);
  EXPECT_TRUE(region->fds().empty());
  EXPECT_EQ(map_host(offer(*region), {}, false)->base(), nullptr);
  EXPECT_THAT(complaint([] { attach_host(nullptr, 1); }), HasSubstr("invalid argument"));
  EXPECT_THAT(complaint([&] { attach_host(bytes, 0); }), HasSubstr("invalid argument"));
  EXPECT_THAT(complaint([&] { attach_host(bytes, ~0ull); }), HasSubstr("invalid argument"));
}

}  // namespace
}  // namespace kvferry::memory
