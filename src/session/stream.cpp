#include "session/stream.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>

#include "kvferry/error.hpp"
#include "session/tls.hpp"
#include "wire/frame.hpp"

namespace kvferry::session {
namespace {

constexpr int kMaxFds = wire::kMaxFdsPerFrame;

[[noreturn]] void lost(const std::string& why) { throw Error(ErrorCode::unreachable, why); }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

void take_fds(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

Stream::Stream(asio::local::stream_protocol::socket socket)
    : socket_(std::move(socket)), passes_fds_(true) {
  socket_.non_blocking(true);
}

Stream::Stream(asio::ip::tcp::socket socket, std::unique_ptr<Tls> tls)
    : socket_(std::move(socket)), tls_(std::move(tls)) {
  socket_.non_blocking(true);
}

Stream::Stream(Stream&&) noexcept = default;
Stream::~Stream() = default;

std::size_t Stream::read_some(std::span<std::byte> bytes, std::vector<UniqueFd>& fds) {
  if (tls_) return tls_->read(bytes);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  iovec io{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = passes_fds_ ? control : nullptr;
  message.msg_controllen = passes_fds_ ? sizeof control : 0;
  const ssize_t got = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (would_block()) return 0;
    lost(fmt::format("the connection broke: {}", std::strerror(errno)));
  }
  take_fds(message, fds);
  if (got == 0) lost("the peer closed the connection");
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    throw Error(ErrorCode::resource,
                "file descriptors of a peer were dropped: this process is at its limit of open "
                "files; raise it with ulimit -n");
  return static_cast<std::size_t>(got);
}

std::size_t Stream::write_some(std::span<const std::byte> bytes, std::span<const UniqueFd> fds) {
  if (tls_) return tls_->write(bytes);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  iovec io{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (would_block()) return 0;
  lost(fmt::format("the connection broke: {}", std::strerror(errno)));
}

bool Stream::has_unsent() const noexcept { return tls_ && tls_->has_unsent(); }

asio::awaitable<void> Stream::readable() {
  const bool write = tls_ && tls_->wanted_to_read() == Tls::Want::write;
  co_await socket_.async_wait(write ? Socket::wait_write : Socket::wait_read, asio::use_awaitable);
}

asio::awaitable<void> Stream::writable() {
  co_await socket_.async_wait(Socket::wait_write, asio::use_awaitable);
}

void Stream::close() noexcept {
  std::error_code ignored;
  socket_.close(ignored);
}

UniqueFd Stream::release() { return UniqueFd(socket_.release()); }

}  // namespace kvferry::session
