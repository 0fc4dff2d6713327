#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "memory/pool_impl.hpp"

extern char** environ;  // NOLINT: POSIX's name

// For tests that need a second process: it is this test program again, started afresh (a process
// cannot use CUDA after a plain fork), running one test whose name begins with DISABLED_.
namespace kvferry::memory {

inline constexpr const char* kChildSocket = "KVFERRY_TEST_SOCKET";

// One end of the socket between parent and child. Every wait is bounded.
class TestSocket {
 public:
  explicit TestSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  // In the child.
  static TestSocket inherited() {
    const char* number = std::getenv(kChildSocket);
    if (number == nullptr) throw std::runtime_error("run by its parent test only");
    return TestSocket(UniqueFd(std::atoi(number)));
  }

  void send(const std::vector<std::byte>& bytes, const std::vector<UniqueFd>& fds = {}) {
    const std::uint64_t sizes[2] = {bytes.size(), fds.size()};
    write_all(sizes, sizeof sizes);
    write_all(bytes.data(), bytes.size());
    for (const UniqueFd& fd : fds) send_fd(fd.get());
  }
  std::vector<std::byte> receive(std::vector<UniqueFd>* fds = nullptr) {
    std::uint64_t sizes[2] = {};
    read_all(sizes, sizeof sizes);
    std::vector<std::byte> bytes(sizes[0]);
    read_all(bytes.data(), bytes.size());
    for (std::uint64_t i = 0; i < sizes[1]; ++i) {
      UniqueFd fd = receive_fd();
      if (fds != nullptr) fds->push_back(std::move(fd));
    }
    return bytes;
  }
  void send_word(std::uint64_t word) {
    std::vector<std::byte> bytes(sizeof word);
    std::memcpy(bytes.data(), &word, sizeof word);
    send(bytes);
  }
  std::uint64_t receive_word() {
    std::uint64_t word = 0;
    const auto bytes = receive();
    std::memcpy(&word, bytes.data(), std::min(sizeof word, bytes.size()));
    return word;
  }

 private:
  void await() {
    pollfd p{fd_.get(), POLLIN, 0};
    if (::poll(&p, 1, 60'000) != 1) throw std::runtime_error("the other process says nothing");
  }
  void write_all(const void* data, std::size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t n = ::send(fd_.get(), at, bytes, MSG_NOSIGNAL);
      if (n <= 0) throw std::runtime_error("the other process is gone");
      at += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
  void read_all(void* data, std::size_t bytes) {
    auto* at = static_cast<char*>(data);
    while (bytes > 0) {
      await();
      const ssize_t n = ::recv(fd_.get(), at, bytes, 0);
      if (n <= 0) throw std::runtime_error("the other process is gone");
      at += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
  void send_fd(int fd) {
    char byte = 'f';
    iovec io{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) != 1)
      throw std::runtime_error("cannot pass a descriptor");
  }
  UniqueFd receive_fd() {
    await();
    char byte = 0;
    iovec io{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == nullptr)
      throw std::runtime_error("a descriptor is missing");
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return UniqueFd(fd);
  }

  UniqueFd fd_;
};

// The child, killed and reaped when this goes.
class TestChild {
 public:
  // `variables`: more for its environment, "NAME=value".
  explicit TestChild(const std::string& test, std::vector<std::string> variables = {})
      : TestChild(test, std::move(variables), make_pair()) {}
  ~TestChild() { kill(); }
  TestChild(const TestChild&) = delete;
  TestChild& operator=(const TestChild&) = delete;

  TestSocket& socket() { return socket_; }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  using Pair = std::pair<UniqueFd, UniqueFd>;
  static Pair make_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) throw std::runtime_error("socketpair");
    ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }
  TestChild(const std::string& test, std::vector<std::string> variables, Pair ends)
      : socket_(std::move(ends.first)) {
    variables.push_back(std::string(kChildSocket) + "=" + std::to_string(ends.second.get()));
    std::vector<char*> environment;
    for (auto& v : variables) environment.push_back(v.data());
    for (char** v = environ; *v != nullptr; ++v) environment.push_back(*v);
    environment.push_back(nullptr);
    std::string program = "/proc/self/exe", all = "--gtest_also_run_disabled_tests",
                filter = "--gtest_filter=" + test;
    char* arguments[] = {program.data(), all.data(), filter.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environment.data()) != 0)
      throw std::runtime_error("cannot start a second process");
  }

  pid_t pid_ = -1;
  TestSocket socket_;
};

// Plain bytes of what a pool's owner offers.
class TestBytes {
 public:
  TestBytes() = default;
  explicit TestBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  template <typename T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof value);
  }
  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  template <typename T>
  void put_list(const std::vector<T>& list) {
    put<std::uint64_t>(list.size());
    for (const T& item : list) put(item);
  }
  template <typename T>
  std::vector<T> get_list() {
    std::vector<T> list(get<std::uint64_t>());
    for (T& item : list) item = get<T>();
    return list;
  }
  void put_region(const RegionOffer& region) {
    put(region.id);
    put(region.bytes);
    put(region.gpu);
    put_list(region.chunks);
  }
  RegionOffer get_region() {
    RegionOffer region;
    region.id = get<RegionId>();
    region.bytes = get<std::uint64_t>();
    region.gpu = get<GpuUuid>();
    region.chunks = get_list<Chunk>();
    return region;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace kvferry::memory
