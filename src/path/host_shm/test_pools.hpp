#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kvferry/error.hpp"
#include "path/host_shm/host_shm_path.hpp"
#include "path/test_observer.hpp"

// For tests of host_shm: pools with known bytes, and a second process that owns one.
namespace kvferry::path::test {

constexpr std::uint32_t kBlocks = 60;

inline CacheShape test_shape() {
  return {.layers = 5, .kv = 2, .kv_heads = 4, .head_dim = 64, .block_tokens = 16};
}
inline std::uint64_t block_bytes() { return test_shape().block_bytes(); }  // 16 KiB

// The bytes of one block, whichever way the pool lays it out.
inline std::vector<unsigned char> block(const Pool& pool, std::uint32_t layer, std::uint32_t id) {
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
inline std::vector<unsigned char> pattern(unsigned seed, std::uint32_t layer, std::uint32_t id) {
  std::vector<unsigned char> bytes(block_bytes());
  std::minstd_rand random(seed * 1000003 + layer * 1009 + id + 1);
  for (auto& byte : bytes) byte = static_cast<unsigned char>(random() >> 8);
  return bytes;
}

inline void fill(const Pool& pool, unsigned seed) {
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

inline Pool allocated(bool writable) {
  return Pool::allocate(Device::host(), test_shape(), kBlocks, {.writable = writable});
}

// Private memory; parts of odd stride and alignment.
inline Pool attached(std::uint32_t parts, bool writable) {
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

inline void write_all(int fd, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(fd, at, bytes);
    if (done <= 0) ::_exit(3);
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

inline void read_all(int fd, void* data, std::size_t bytes) {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::read(fd, at, bytes);
    ASSERT_GT(done, 0) << "the owner process is gone";
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

template <typename T>
inline void write_vector(int fd, const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::uint64_t count = values.size();
  write_all(fd, &count, sizeof count);
  write_all(fd, values.data(), count * sizeof(T));
}

template <typename T>
inline std::vector<T> read_vector(int fd) {
  std::uint64_t count = 0;
  read_all(fd, &count, sizeof count);
  std::vector<T> values(count);
  read_all(fd, values.data(), count * sizeof(T));
  return values;
}

inline void send_fd(int socket, int fd) {
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

inline UniqueFd receive_fd(int socket) {
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

inline RemoteEnd describe(const Pool& pool) {
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

inline std::vector<std::uint32_t> scattered(unsigned seed, std::size_t count = 37) {
  std::vector<std::uint32_t> ids(kBlocks);
  std::iota(ids.begin(), ids.end(), 0u);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(seed));
  ids.resize(count);
  return ids;
}

inline JobResult run(Route& route, plan::Plan plan, Direction direction) {
  const auto quiet = std::make_shared<std::atomic<int>>(0);
  JobOptions options;
  options.direction = direction;
  const auto job = start_copy(route, std::move(plan), options, [quiet] { ++*quiet; });
  EXPECT_TRUE(job->wait_until(std::chrono::steady_clock::now() + std::chrono::seconds(60)));
  for (int i = 0; i < 10000 && *quiet == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(*quiet, 1);
  return job->poll().value();
}

inline std::string complaint(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
}

}  // namespace kvferry::path::test
