#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "session/stream.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// A message and the file descriptors that came with it.
struct Received {
  wire::Message message;
  std::vector<UniqueFd> fds;
};

// Typed messages over a stream. Not thread-safe: everything on the io_context's one thread.
// Throws Error{failed} on malformed input, Error{unreachable} when the other side is gone; the
// channel is closed then.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  explicit Channel(Stream stream);

  // The next message. One call at a time.
  asio::awaitable<Received> receive();
  // Queues a message; what cannot be written at once follows when the socket takes it. A peer that
  // does not read is cut off once kMaxQueuedBytes wait for it.
  void send(const wire::Message& message, std::vector<UniqueFd> fds = {});
  // The next one; of a stranger, whose messages have no business being longer.
  asio::awaitable<Received> receive_at_most(std::uint32_t payload_bytes);
  // After the handshake, messages may be larger.
  void set_established() noexcept { established_ = true; }
  // Everything queued is lost.
  void close() noexcept;
  // The same, because of what the other side does or leaves undone.
  void give_up(std::string why) noexcept;
  // Why it was given up; empty: it was not.
  const std::string& why_given_up() const noexcept { return why_given_up_; }
  // Sends what is queued, then closes; gives up after a second.
  asio::awaitable<void> flush_and_close();
  // Descriptors that wait to be sent.
  std::size_t queued_fds() const noexcept { return queued_fds_; }
  std::size_t queued_bytes() const noexcept { return queued_bytes_; }
  bool is_open() const noexcept { return stream_.is_open(); }
  bool passes_fds() const noexcept { return stream_.passes_fds(); }
  // When the last byte of the other side came.
  std::chrono::steady_clock::time_point last_heard() const noexcept { return last_heard_; }
  int native_handle() { return stream_.native_handle(); }
  Stream::Socket::executor_type executor() { return stream_.executor(); }
  // Gives up the stream beneath. Requires: nothing is being received or sent.
  UniqueFd release() { return stream_.release(); }

  static constexpr std::size_t kMaxQueuedBytes = 16u << 20;

 private:
  struct Outgoing {
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    std::vector<UniqueFd> fds;  // go with the first byte
  };

  asio::awaitable<void> read_exactly(std::span<std::byte> bytes);
  void check_fds() const;
  bool write_some();  // false: the stream is full
  asio::awaitable<void> write_loop();

  Stream stream_;
  bool established_ = false;
  std::chrono::steady_clock::time_point last_heard_ = std::chrono::steady_clock::now();
  bool writing_ = false;
  std::size_t queued_bytes_ = 0;
  std::size_t queued_fds_ = 0;
  std::string why_given_up_;
  std::deque<Outgoing> queue_;
  std::vector<UniqueFd> pending_fds_;
};

}  // namespace kvferry::session
