#include "bench/whole_pieces.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>

namespace kvferry::cli::bench {
namespace {

// Larger calls helped nobody.
constexpr std::size_t kCallBytes = std::size_t{1} << 20;
constexpr std::size_t kCallPieces = 64;

// The front of the pieces, up to a call's worth.
std::size_t front_of(std::span<const iovec> pieces, std::array<iovec, kCallPieces>& call) noexcept {
  std::size_t count = 0, bytes = 0;
  for (const iovec& piece : pieces) {
    if (count == call.size() || bytes == kCallBytes) break;
    call[count] = {piece.iov_base, std::min(piece.iov_len, kCallBytes - bytes)};
    bytes += call[count++].iov_len;
  }
  return count;
}

// What is left once so many bytes of the front are done; it begins with no empty piece.
std::span<iovec> behind(std::span<iovec> pieces, std::size_t bytes) noexcept {
  while (!pieces.empty() && bytes >= pieces.front().iov_len) {
    bytes -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (bytes > 0) {
    iovec& first = pieces.front();
    first = {static_cast<std::byte*>(first.iov_base) + bytes, first.iov_len - bytes};
  }
  return pieces;
}

template <typename Call>
bool all(std::vector<iovec>& pieces, const Call& call) noexcept {
  std::array<iovec, kCallPieces> front;
  for (std::span<iovec> left = behind(pieces, 0); !left.empty();) {
    msghdr message{};
    message.msg_iov = front.data();
    message.msg_iovlen = front_of(left, front);
    const ssize_t moved = call(&message);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return false;
    left = behind(left, static_cast<std::size_t>(moved));
  }
  return true;
}

}  // namespace

bool send_all(int fd, std::vector<iovec> pieces) noexcept {
  return all(pieces, [&](const msghdr* message) { return ::sendmsg(fd, message, MSG_NOSIGNAL); });
}

bool receive_all(int fd, std::vector<iovec> pieces) noexcept {
  return all(pieces, [&](msghdr* message) { return ::recvmsg(fd, message, 0); });
}

std::vector<iovec> cut(const std::vector<iovec>& pieces, std::size_t begin, std::size_t end) {
  std::vector<iovec> some;
  std::size_t at = 0;
  for (const iovec& piece : pieces) {
    const std::size_t from = std::max(begin, at), to = std::min(end, at + piece.iov_len);
    if (from < to)
      some.push_back({static_cast<std::byte*>(piece.iov_base) + (from - at), to - from});
    at += piece.iov_len;
  }
  return some;
}

}  // namespace kvferry::cli::bench
