#pragma once

#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "path/tcp/chunk.hpp"
#include "path/tcp/incoming.hpp"
#include "path/tcp/net_threads.hpp"
#include "path/tcp/outgoing.hpp"
#include "path/tcp/wire_socket.hpp"

namespace kvferry::path::tcp {

class Stream;

// Whose streams these are: where chunks come from and go to. From the streams' threads.
class StreamOwner {
 public:
  virtual ~StreamOwner() = default;
  // A chunk to send; false: none now; the stream is kicked when there may be one, and should itself
  // ask again at `when`.
  virtual bool take(Stream& stream, OutChunk& chunk,
                    std::chrono::steady_clock::time_point& when) = 0;
  // Who waits for this chunk; null: nobody, any more.
  virtual std::shared_ptr<Incoming> incoming_for(const ChunkHeader& header) = 0;
  virtual void stream_broke(Stream& stream, const std::string& why) noexcept = 0;
};

// One data connection: chunks out, chunks in, each direction a little at a time so that all streams
// of a thread have their turns. Everything but what is said otherwise runs on its own thread.
class Stream final : public std::enable_shared_from_this<Stream> {
 public:
  Stream(NetThreads::Place place, std::unique_ptr<WireSocket> wire,
         std::shared_ptr<StreamOwner> owner);

  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Begins to read. Any thread.
  void start();
  // There may be a chunk to send, or room for one that waits. Any thread.
  void kick();
  // Nothing is sent or received any more, soon; chunks under way are given up. Any thread.
  void close(std::string why);
  // Closes it if it is still sending a chunk of this transfer then. Any thread.
  void close_if_sending_after(std::shared_ptr<Outgoing> transfer, std::chrono::milliseconds time);

 private:
  using Clock = std::chrono::steady_clock;

  void pump_send();
  bool begin_send();
  bool send_some();  // false: the socket is full
  void pump_receive();
  bool begin_receive();
  bool receive_some(std::uint64_t& moved);  // false: there is nothing more now
  std::size_t gather(std::array<iovec, PieceBatch::kMost + 1>& pieces, bool write);
  void took(std::size_t bytes, const std::array<iovec, PieceBatch::kMost + 1>& pieces);
  void wait_to_send();
  void ask_again_at(Clock::time_point when);
  void wait_to_receive();
  void broke(const std::string& why) noexcept;
  void shut() noexcept;

  const NetThreads::Place place_;
  std::unique_ptr<WireSocket> wire_;
  std::shared_ptr<StreamOwner> owner_;  // until it is closed
  asio::posix::stream_descriptor socket_;
  asio::steady_timer later_;  // for a rate limit

  OutChunk out_;
  std::array<std::byte, kChunkHeaderBytes> out_header_{};
  std::size_t out_header_sent_ = 0;
  std::uint64_t out_left_ = 0;
  bool sending_ = false;  // a turn is posted, or the socket is waited for

  InChunk in_;
  std::array<std::byte, kChunkHeaderBytes> in_header_{};
  std::size_t in_header_got_ = 0;
  bool in_chunk_ = false;
  bool no_room_ = false;  // a chunk waits for a stage, or for what control has to say
  std::vector<std::byte> scrap_;
};

}  // namespace kvferry::path::tcp
