#pragma once

#include <asio/awaitable.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/unique_fd.hpp"

namespace kvferry::session {

class Tls;

// One end of a connection: a Unix socket, which passes descriptors beside its bytes, or TCP, plain
// or inside TLS. Never blocks. Not thread-safe.
class Stream {
 public:
  using Socket = asio::generic::stream_protocol::socket;

  explicit Stream(asio::local::stream_protocol::socket socket);
  // Requires: where there is `tls`, its handshake is over.
  explicit Stream(asio::ip::tcp::socket socket, std::unique_ptr<Tls> tls = nullptr);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) = delete;
  ~Stream();

  // At least one byte, or 0 where none is there yet: co_await readable(), and try again.
  // Descriptors that came with them are appended to `fds`. Throws: Error{unreachable} at the end
  // of the stream, Error{refused} (TLS: the other side's last word), Error{resource}.
  std::size_t read_some(std::span<std::byte> bytes, std::vector<UniqueFd>& fds);
  // How many bytes were taken, and with the first of them the descriptors; 0: co_await writable().
  // Over TCP there must be none. Throws: Error{unreachable}.
  std::size_t write_some(std::span<const std::byte> bytes, std::span<const UniqueFd> fds);
  // True while bytes that were taken wait here for the socket: call write_some with nothing.
  bool has_unsent() const noexcept;
  asio::awaitable<void> readable();
  asio::awaitable<void> writable();

  bool passes_fds() const noexcept { return passes_fds_; }
  bool is_encrypted() const noexcept { return tls_ != nullptr; }
  bool is_open() const noexcept { return socket_.is_open(); }
  void close() noexcept;
  Socket::executor_type executor() { return socket_.get_executor(); }
  int native_handle() { return socket_.native_handle(); }
  // Takes it out of the I/O context it was in. Requires: nobody waits for it; not encrypted.
  UniqueFd release();

 private:
  Socket socket_;
  bool passes_fds_ = false;
  std::unique_ptr<Tls> tls_;
};

}  // namespace kvferry::session
