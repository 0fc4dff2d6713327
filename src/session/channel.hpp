#pragma once

#include <asio/awaitable.hpp>
#include <asio/local/stream_protocol.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// A message and the file descriptors that came with it.
struct Received {
  wire::Message message;
  std::vector<UniqueFd> fds;
};

// Typed messages over a Unix stream socket. Every read is a recvmsg: a plain read would drop the
// fds that travel beside the bytes. Not thread-safe: everything on the io_context's one thread.
// Throws Error{failed} on malformed input, Error{unreachable} when the other side is gone; the
// channel is closed then.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  using Socket = asio::local::stream_protocol::socket;
  explicit Channel(Socket socket);

  // The next message. One call at a time.
  asio::awaitable<Received> receive();
  // Queues a message; what cannot be written at once follows when the socket takes it. A peer that
  // does not read is cut off once kMaxQueuedBytes wait for it.
  void send(const wire::Message& message, std::vector<UniqueFd> fds = {});
  // After the handshake, messages may be larger.
  void set_established() noexcept { established_ = true; }
  // Everything queued is lost.
  void close() noexcept;
  // Sends what is queued, then closes; gives up after a second.
  asio::awaitable<void> flush_and_close();
  // Descriptors that wait to be sent.
  std::size_t queued_fds() const noexcept { return queued_fds_; }
  bool is_open() const noexcept { return socket_.is_open(); }
  int native_handle() { return socket_.native_handle(); }
  Socket::executor_type executor() { return socket_.get_executor(); }

  static constexpr std::size_t kMaxQueuedBytes = 16u << 20;

 private:
  struct Outgoing {
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    std::vector<UniqueFd> fds;  // go with the first byte
  };

  asio::awaitable<void> read_exactly(std::span<std::byte> bytes);
  std::size_t read_some(std::span<std::byte> bytes);  // 0: nothing there yet
  void take_fds(void* control_message);
  bool write_some();  // false: the socket is full
  asio::awaitable<void> write_loop();

  Socket socket_;
  bool established_ = false;
  bool writing_ = false;
  std::size_t queued_bytes_ = 0;
  std::size_t queued_fds_ = 0;
  std::deque<Outgoing> queue_;
  std::vector<UniqueFd> pending_fds_;
};

}  // namespace kvferry::session
