// A live server under fire: malformed, truncated and absurd input over both of its doors, from one
// hostile process of the same user.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/unique_fd.hpp"
#include "hostile/footprint.hpp"
#include "kvferry/kvferry.hpp"
#include "session/identity.hpp"
#include "wire/messages.hpp"

namespace kvferry {
namespace {

using hostile::expect_no_growth_since;
using hostile::Footprint;
using hostile::footprint;
using hostile::tiny;

constexpr int kMessages = 10'000;

class Hostile : public ::testing::Test {
 protected:
  Hostile() {
    char pattern[] = "/tmp/kvferry-hostile-XXXXXX";
    directory = ::mkdtemp(pattern);
    listen.port = 0;
    listen.socket_path = directory + "/s";
    node.add(pool);
    node.listen(listen);
  }
  ~Hostile() override { std::filesystem::remove_all(directory); }

  UniqueFd dial_unix() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, listen.socket_path.c_str());
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
  }
  UniqueFd dial_tcp() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(node.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
  }
  // Sends and waits for the server to end the connection (it must, or answer within its handshake
  // time).
  static void fire(const UniqueFd& fd, const std::vector<std::byte>& bytes) {
    [[maybe_unused]] const auto sent =
        ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd.get(), SHUT_WR);
    timeval patience{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char answer[4096];
    while (::recv(fd.get(), answer, sizeof answer, 0) > 0) {
    }
  }
  void serves_the_next_client() {
    Node client;
    const Pool local = Pool::allocate(Device::host(), tiny(), 4);
    client.add(local);
    const std::vector<std::uint32_t> ids{1};
    client.connect("127.0.0.1:" + std::to_string(node.port())).pull(local, ids, ids).wait();
  }

  std::string directory;
  ListenOptions listen;
  Pool pool = Pool::allocate(Device::host(), tiny(), 8);
  Node node;
};

std::vector<std::byte> hello_frame() {
  wire::Hello hello;
  hello.software = "0.0.0";
  hello.node = "evil";
  hello.pid = 1;
  hello.nonce = session::process_nonce();
  return wire::encode(hello);
}

std::vector<std::byte> spoil(std::vector<std::byte> frame, std::mt19937& random) {
  const auto pick = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  switch (pick(5)) {
    case 0: frame.resize(pick(frame.size())); break;  // truncated
    case 1: frame[pick(frame.size())] ^= static_cast<std::byte>(1u << pick(8)); break;
    case 2:  // a length that promises far more than comes
      for (std::size_t i = 8; i < 12; ++i) frame[i] = static_cast<std::byte>(pick(256));
      break;
    case 3:
      for (int i = 0; i < 16; ++i) frame[pick(frame.size())] = static_cast<std::byte>(pick(256));
      break;
    default:  // noise
      frame.resize(1 + pick(4000));
      for (auto& byte : frame) byte = static_cast<std::byte>(pick(256));
  }
  return frame;
}

TEST_F(Hostile, TenThousandMalformedMessages) {
  std::mt19937 random(2026);
  const auto good = hello_frame();
  Footprint before;
  for (int i = 0; i < kMessages; ++i) {
    // The allocator settles during the first tenth.
    if (i == kMessages / 10) before = footprint();
    fire(i % 10 == 9 ? dial_tcp() : dial_unix(), spoil(good, random));
  }
  serves_the_next_client();
  expect_no_growth_since(before);
}

// Descriptors nobody asked for are closed, not kept.
TEST_F(Hostile, UnaskedDescriptorsAreDropped) {
  const std::size_t before = footprint().fds;
  for (int i = 0; i < 200; ++i) {
    const UniqueFd fd = dial_unix();
    auto bytes = hello_frame();
    iovec io{bytes.data(), bytes.size()};
    char control[CMSG_SPACE(sizeof(int) * 16)] = {};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * 16);
    for (int k = 0; k < 16; ++k) {
      const int zero = 0;
      std::memcpy(CMSG_DATA(c) + k * sizeof(int), &zero, sizeof zero);
    }
    ::sendmsg(fd.get(), &message, MSG_NOSIGNAL);
    fire(fd, {});
  }
  serves_the_next_client();
  EXPECT_LE(footprint().fds, before + 8);
}

// Connections that say nothing do not keep others out, and are ended.
TEST_F(Hostile, SilentConnectionsAreBounded) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(dial_unix());
  for (int i = 0; i < 100; ++i) silent.push_back(dial_tcp());
  serves_the_next_client();
}

}  // namespace
}  // namespace kvferry
