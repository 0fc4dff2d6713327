#include "path/host_shm/host_shm_path.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "kvferry/error.hpp"

namespace kvferry::path {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kBlocks = 60;

CacheShape test_shape() {
  return {.layers = 5, .kv = 2, .kv_heads = 4, .head_dim = 64, .block_tokens = 16};
}
std::uint64_t block_bytes() { return test_shape().block_bytes(); }  // 16 KiB

// The bytes of one block, whichever way the pool lays it out.
std::vector<unsigned char> block(const Pool& pool, std::uint32_t layer, std::uint32_t id) {
  std::vector<unsigned char> bytes;
  const std::uint64_t part_bytes = block_bytes() / pool.kv_parts();
  for (std::uint32_t part = 0; part < pool.kv_parts(); ++part) {
    const auto* at =
        static_cast<const unsigned char*>(pool.layer(layer, part)) + id * pool.block_stride();
    bytes.insert(bytes.end(), at, at + part_bytes);
  }
  return bytes;
}

// Every byte depends on seed, layer, block and place.
std::vector<unsigned char> pattern(unsigned seed, std::uint32_t layer, std::uint32_t id) {
  std::vector<unsigned char> bytes(block_bytes());
  std::minstd_rand random(seed * 1000003 + layer * 1009 + id + 1);
  for (auto& byte : bytes) byte = static_cast<unsigned char>(random() >> 8);
  return bytes;
}

void fill(const Pool& pool, unsigned seed) {
  for (std::uint32_t layer = 0; layer < pool.shape().layers; ++layer) {
    for (std::uint32_t id = 0; id < pool.blocks(); ++id) {
      const auto bytes = pattern(seed, layer, id);
      const std::uint64_t part_bytes = block_bytes() / pool.kv_parts();
      for (std::uint32_t part = 0; part < pool.kv_parts(); ++part) {
        std::memcpy(static_cast<std::byte*>(pool.layer(layer, part)) + id * pool.block_stride(),
                    &bytes[part * part_bytes], part_bytes);
      }
    }
  }
}

Pool allocated(bool writable) {
  return Pool::allocate(Device::host(), test_shape(), kBlocks, {.writable = writable});
}

// Private memory; parts of odd stride and alignment.
Pool attached(std::uint32_t parts, bool writable) {
  AttachOptions options;
  options.shape = test_shape();
  options.blocks = kBlocks;
  options.block_stride = block_bytes() / parts + 24;
  options.options.writable = writable;
  const std::size_t planes = test_shape().layers * parts;
  const std::size_t plane_bytes = kBlocks * options.block_stride + 100;
  auto memory = std::make_shared<std::vector<std::byte>>(planes * plane_bytes);
  for (std::size_t plane = 0; plane < planes; ++plane) {
    options.bases.push_back(memory->data() + plane * plane_bytes + 3);
  }
  options.keep_alive = std::move(memory);
  return Pool::attach(options);
}

void write_all(int fd, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(fd, at, bytes);
    if (done <= 0) ::_exit(3);
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void read_all(int fd, void* data, std::size_t bytes) {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::read(fd, at, bytes);
    ASSERT_GT(done, 0) << "the owner process is gone";
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

template <typename T>
void write_vector(int fd, const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::uint64_t count = values.size();
  write_all(fd, &count, sizeof count);
  write_all(fd, values.data(), count * sizeof(T));
}

template <typename T>
std::vector<T> read_vector(int fd) {
  std::uint64_t count = 0;
  read_all(fd, &count, sizeof count);
  std::vector<T> values(count);
  read_all(fd, values.data(), count * sizeof(T));
  return values;
}

void send_fd(int socket, int fd) {
  char byte = 0;
  iovec vector{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (::sendmsg(socket, &message, 0) != 1) ::_exit(4);
}

UniqueFd receive_fd(int socket) {
  char byte = 0;
  iovec vector{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  EXPECT_EQ(::recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  EXPECT_NE(header, nullptr);
  int fd = -1;
  if (header != nullptr) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

RemoteEnd describe(const Pool& pool) {
  const auto& impl = *pool.state();
  RemoteEnd end;
  end.offer.parts = impl.parts;
  end.offer.block_stride = impl.block_stride;
  end.offer.planes = impl.planes;
  for (const auto& region : impl.regions) end.offer.regions.push_back(memory::offer(*region));
  end.shape = impl.shape;
  end.blocks = impl.blocks;
  end.writable = impl.options.writable;
  return end;
}

// A second process that owns a pool, filled with pattern 1. Make it before any thread: it forks.
class Owner {
 public:
  template <typename MakePool>
  explicit Owner(MakePool make_pool) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    socket_.reset(ends[0]);
    UniqueFd theirs(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      socket_.reset();
      serve(make_pool(), theirs.get());
    }
    theirs.reset();
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  }
  ~Owner() { kill(); }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  RemoteEnd connect() {
    ask('o');
    RemoteEnd end;
    read_all(socket_.get(), &end.offer.parts, sizeof end.offer.parts);
    read_all(socket_.get(), &end.offer.block_stride, sizeof end.offer.block_stride);
    read_all(socket_.get(), &end.writable, sizeof end.writable);
    end.offer.planes = read_vector<memory::PlaneRef>(socket_.get());
    for (const auto& chunk : read_vector<memory::Chunk>(socket_.get())) {
      memory::RegionOffer region;
      region.bytes = chunk.bytes;
      region.chunks = {chunk};
      end.offer.regions.push_back(region);
      if (has_fd(chunk.kind)) end.fds.push_back(receive_fd(socket_.get()));
    }
    end.shape = test_shape();
    end.blocks = kBlocks;
    end.pid = pid_;
    end.pidfd = pidfd_.get();
    return end;
  }

  // A block as the owner sees it now.
  std::vector<unsigned char> block_there(std::uint32_t layer, std::uint32_t id) {
    ask('b');
    write_all(socket_.get(), &layer, sizeof layer);
    write_all(socket_.get(), &id, sizeof id);
    return read_vector<unsigned char>(socket_.get());
  }

 private:
  void ask(char what) { write_all(socket_.get(), &what, 1); }

  [[noreturn]] static void serve(const Pool& pool, int socket) {
    fill(pool, 1);
    const auto& impl = *pool.state();
    for (char what = 0; ::read(socket, &what, 1) == 1;) {
      if (what == 'o') {
        write_all(socket, &impl.parts, sizeof impl.parts);
        write_all(socket, &impl.block_stride, sizeof impl.block_stride);
        write_all(socket, &impl.options.writable, sizeof impl.options.writable);
        write_vector(socket, impl.planes);
        std::vector<memory::Chunk> chunks;
        for (const auto& region : impl.regions) chunks.push_back(region->chunks().front());
        write_vector(socket, chunks);
        for (const auto& region : impl.regions) {
          for (const auto& fd : region->fds()) send_fd(socket, fd.get());
        }
      } else {
        std::uint32_t layer = 0, id = 0;
        read_all(socket, &layer, sizeof layer);
        read_all(socket, &id, sizeof id);
        write_vector(socket, block(pool, layer, id));
      }
    }
    ::_exit(0);
  }

  UniqueFd socket_, pidfd_;
  pid_t pid_ = 0;
};

std::vector<std::uint32_t> scattered(unsigned seed, std::size_t count = 37) {
  std::vector<std::uint32_t> ids(kBlocks);
  std::iota(ids.begin(), ids.end(), 0u);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(seed));
  ids.resize(count);
  return ids;
}

JobResult run(Route& route, plan::Plan plan, Direction direction) {
  const auto quiet = std::make_shared<std::atomic<int>>(0);
  JobOptions options;
  options.direction = direction;
  const auto job = route.start(std::move(plan), options, [quiet] { ++*quiet; });
  EXPECT_TRUE(job->wait_until(Clock::now() + seconds(60)));
  for (int i = 0; i < 10000 && *quiet == 0; ++i) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(*quiet, 1);
  return job->poll().value();
}

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

std::string complaint(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
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

TEST(HostShmPath, APoolOfThisProcessThatIsGoneIsNotUsable) {
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

TEST(HostShmPath, SaysWhyItCannotServeAPair) {
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

TEST(HostShmPath, AReadOnlyPoolRefusesPushesBeforeAnythingIsWritten) {
  Owner owner([] { return allocated(false); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  const auto route = host_shm.open(local.state(), owner.connect());
  expect_pull(*route, local);
  const auto ids = scattered(1);
  JobOptions options;
  options.direction = Direction::push;
  EXPECT_THAT(complaint([&] {
                route->start(plan::make_plan(route->local(), route->remote(), ids, ids, {}),
                             options, [] { FAIL() << "never started"; });
              }),
              HasSubstr("refused: push: the remote pool is not writable"));
}

TEST(HostShmPath, APeerThatLiesAboutWritableIsRefused) {
  Owner owner([] { return allocated(false); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  remote.writable = true;
  EXPECT_THAT(complaint([&] { host_shm.open(local.state(), std::move(remote)); }),
              HasSubstr("sealed against writing"));
}

TEST(HostShmPath, OptionsForGpusAreRefusedByName) {
  HostShmPath host_shm(1);
  const Pool theirs = allocated(true), local = allocated(false);
  RemoteEnd remote = describe(theirs);
  remote.same_process = true;
  const auto route = host_shm.open(local.state(), std::move(remote));
  const auto with = [&](auto change) {
    JobOptions options;
    change(options);
    return complaint([&] { route->start({}, options, [] {}); });
  };
  EXPECT_THAT(with([](JobOptions& o) { o.stream = CudaStream{}; }),
              HasSubstr("invalid argument: stream: a CUDA stream needs a CUDA pool"));
  EXPECT_THAT(with([](JobOptions& o) { o.copy = CopyMethod::engine; }), HasSubstr("--copy"));
  EXPECT_THAT(with([](JobOptions& o) { o.copy = CopyMethod::kernel; }), HasSubstr("--copy"));
  EXPECT_EQ(with([](JobOptions& o) { o.max_sms = 4; }), "");
}

TEST(HostShmPath, OffersThatPointOutsideTheirMemoryAreRefused) {
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

TEST(HostShmPath, PrivateOffersThatAreNotARangeAreRefused) {
  Owner owner([] { return attached(1, true); });
  HostShmPath host_shm(1);
  const Pool local = allocated(false);
  RemoteEnd remote = owner.connect();
  for (auto& region : remote.offer.regions) region.chunks[0].address = ~0ull - 100;
  EXPECT_THAT(complaint([&] { host_shm.open(local.state(), std::move(remote)); }),
              HasSubstr("refused: the peer offers private memory"));
}

TEST(HostShmPath, AnUnmappedAddressIsJudgedAndReported) {
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
