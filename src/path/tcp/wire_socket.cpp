#include "path/tcp/wire_socket.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "kvferry/error.hpp"
#include "session/loopback.hpp"

namespace kvferry::path::tcp {
namespace {

[[noreturn]] void lost(const std::string& why) { throw Error(ErrorCode::unreachable, why); }

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS ||
         error == ENOMEM;
}

void set_int(int fd, int level, int name, int value) noexcept {
  // Hints: a kernel that does not know one does without.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

class PlainWire final : public WireSocket {
 public:
  explicit PlainWire(UniqueFd socket) : socket_(std::move(socket)) {
    const int flags = ::fcntl(socket_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
      lost(fmt::format("cannot use a data socket: {}", std::strerror(errno)));
  }
  std::size_t send(std::span<const iovec> pieces) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (would_block(errno)) return 0;
    lost(fmt::format("a data stream broke: {}", std::strerror(errno)));
  }
  std::size_t receive(std::span<const iovec> pieces) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) lost("the peer closed a data stream");
    if (would_block(errno)) return 0;
    lost(fmt::format("a data stream broke: {}", std::strerror(errno)));
  }
  void expect(std::size_t bytes) noexcept override {
    const int low = static_cast<int>(bytes);
    if (low == low_) return;
    low_ = low;
    set_int(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, low);
  }
  int fd() const noexcept override { return socket_.get(); }
  std::string name() const override { return "tcp"; }

 private:
  UniqueFd socket_;
  int low_ = 1;
};

bool set_congestion(int fd, const std::string& name) noexcept {
  return ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                      static_cast<socklen_t>(name.size())) == 0;
}

std::string congestion_of(int fd) {
  std::array<char, 32> name{};
  socklen_t bytes = name.size() - 1;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &bytes) != 0) return "";
  return name.data();
}

[[noreturn]] void refuse_congestion(const std::string& name) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("congestion control '{}' (--congestion): {}; this host has: {}", name,
                          std::strerror(errno), congestion_controls()));
}

bool stays_here(int fd) {
  asio::ip::tcp::endpoint ours, theirs;
  auto our_bytes = static_cast<socklen_t>(ours.capacity());
  auto their_bytes = static_cast<socklen_t>(theirs.capacity());
  if (::getsockname(fd, ours.data(), &our_bytes) != 0 ||
      ::getpeername(fd, theirs.data(), &their_bytes) != 0)
    return false;
  const auto family = theirs.data()->sa_family;
  return (family == AF_INET || family == AF_INET6) &&
         session::stays_here(ours.address(), theirs.address());
}

}  // namespace

std::unique_ptr<WireSocket> plain_wire(UniqueFd socket) {
  return std::make_unique<PlainWire>(std::move(socket));
}

std::string congestion_controls() {
  std::string names;
  std::ifstream file("/proc/sys/net/ipv4/tcp_available_congestion_control");
  std::getline(file, names);
  return names;
}

void check_congestion(const std::string& congestion) {
  if (congestion.empty()) return;
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (probe && !set_congestion(probe.get(), congestion)) refuse_congestion(congestion);
}

std::string tune_socket(int fd, const std::string& congestion) {
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A host that vanished without a word is noticed by probes when nothing is under way, and by
  // what is not acknowledged when something is.
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
  set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 20'000);
  if (!congestion.empty()) {
    if (!set_congestion(fd, congestion)) refuse_congestion(congestion);
  } else if (stays_here(fd) && congestion_of(fd) == "bbr") {
    // There is no path to model: bbr paces loopback at a third of what others reach.
    (void)(set_congestion(fd, "cubic") || set_congestion(fd, "reno"));
  }
  return congestion_of(fd);
}

}  // namespace kvferry::path::tcp
