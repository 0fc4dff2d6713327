#include "session/channel.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

constexpr int kMaxFds = wire::kMaxFdsPerFrame;

[[noreturn]] void lost(const std::string& why) { throw Error(ErrorCode::unreachable, why); }

}  // namespace

Channel::Channel(Socket socket) : socket_(std::move(socket)) { socket_.non_blocking(true); }

asio::awaitable<Received> Channel::receive() {
  std::array<std::byte, wire::kHeaderBytes> head;
  co_await read_exactly(head);
  const wire::FrameHeader header = wire::parse_header(
      head, established_ ? wire::kMaxPayloadBytes : wire::kMaxHandshakePayloadBytes);
  std::vector<std::byte> payload(header.payload_bytes);
  co_await read_exactly(payload);
  Received received{wire::decode(payload), {}};
  if (pending_fds_.size() != header.fds)
    throw Error(ErrorCode::failed, fmt::format("the peer announced {} file descriptors and sent {}",
                                               header.fds, pending_fds_.size()));
  wire::check_fds(received.message, header.fds);
  received.fds = std::exchange(pending_fds_, {});
  co_return received;
}

asio::awaitable<void> Channel::read_exactly(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t got = read_some(bytes);
    bytes = bytes.subspan(got);
    if (got == 0) co_await socket_.async_wait(Socket::wait_read, asio::use_awaitable);
  }
}

std::size_t Channel::read_some(std::span<std::byte> bytes) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  iovec io{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
    lost(fmt::format("the connection broke: {}", std::strerror(errno)));
  }
  take_fds(&message);
  if (got == 0) lost("the peer closed the connection");
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    throw Error(ErrorCode::resource,
                "file descriptors of a peer were dropped: this process is at its limit of open "
                "files; raise it with ulimit -n");
  return static_cast<std::size_t>(got);
}

void Channel::take_fds(void* control_message) {
  auto* message = static_cast<msghdr*>(control_message);
  for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      pending_fds_.emplace_back(fd);
    }
  }
  // None has a place in the handshake, and whoever sends them there is nobody yet.
  const std::size_t most = established_ ? kMaxFds : 0;
  if (pending_fds_.size() <= most) return;
  pending_fds_.clear();
  throw Error(ErrorCode::failed, "the peer sent more file descriptors than the message may carry");
}

void Channel::send(const wire::Message& message, std::vector<UniqueFd> fds) {
  if (!is_open()) return;
  Outgoing out{wire::encode(message, static_cast<std::uint16_t>(fds.size())), 0, std::move(fds)};
  queued_bytes_ += out.bytes.size();
  queued_fds_ += out.fds.size();
  queue_.push_back(std::move(out));
  if (queued_bytes_ > kMaxQueuedBytes) return close();
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this()]() -> asio::awaitable<void> { co_await self->write_loop(); },
      asio::detached);
}

asio::awaitable<void> Channel::write_loop() {
  try {
    while (is_open() && !queue_.empty()) {
      if (!write_some()) co_await socket_.async_wait(Socket::wait_write, asio::use_awaitable);
    }
  } catch (const std::exception&) {
    // The reader sees the same end and reports it.
    close();
  }
  writing_ = false;
}

bool Channel::write_some() {
  Outgoing& out = queue_.front();
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  iovec io{out.bytes.data() + out.sent, out.bytes.size() - out.sent};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (out.sent == 0 && !out.fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * out.fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * out.fds.size());
    for (std::size_t i = 0; i < out.fds.size(); ++i) {
      const int fd = out.fds[i].get();
      std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return false;
    lost(fmt::format("the connection broke: {}", std::strerror(errno)));
  }
  out.sent += static_cast<std::size_t>(sent);
  queued_fds_ -= out.fds.size();
  out.fds.clear();
  if (out.sent == out.bytes.size()) {
    queued_bytes_ -= out.bytes.size();
    queue_.pop_front();
  }
  return true;
}

void Channel::close() noexcept {
  std::error_code ignored;
  socket_.close(ignored);
  queue_.clear();
  queued_bytes_ = 0;
  queued_fds_ = 0;
}

asio::awaitable<void> Channel::flush_and_close() {
  asio::steady_timer pause(socket_.get_executor());
  for (int i = 0; i < 100 && is_open() && !queue_.empty(); ++i) {
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(asio::use_awaitable);
  }
  close();
}

}  // namespace kvferry::session
