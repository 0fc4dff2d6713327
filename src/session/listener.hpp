#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/local/stream_protocol.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kvferry/node.hpp"

namespace kvferry::session {

// Where a node can be found. The Unix socket is where peers meet; the TCP listener is a signpost:
// it tells whoever asks the path of that socket and the boot id of this host, and nothing else. So
// a TCP connection gives away nothing that the socket's uid check would refuse.
class Listener {
 public:
  using OnAccept = std::function<void(asio::local::stream_protocol::socket)>;

  // Binds and listens at once; `on_accept` runs on the io_context for every connection to the Unix
  // socket. Throws: Error{resource} (in use, no permission), Error{refused} (beyond loopback
  // without insecure), Error{invalid_argument}.
  Listener(asio::io_context& io, const ListenOptions& options, OnAccept on_accept);
  // Closes both and removes the socket's file.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::uint16_t port() const noexcept { return port_; }

 private:
  struct Signpost;  // one TCP connection, being shown the way

  void listen_tcp(const ListenOptions& options);
  void listen_unix(const std::string& path);
  void accept_next(std::size_t acceptor);
  void accept_next_unix();
  void show_signpost(asio::ip::tcp::socket socket);

  // Handlers that are queued when we go must not touch us.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  asio::io_context& io_;
  OnAccept on_accept_;
  std::string socket_path_;
  asio::local::stream_protocol::acceptor unix_;
  std::vector<asio::ip::tcp::acceptor> tcp_;
  std::uint16_t port_ = 0;
  std::shared_ptr<const std::vector<std::byte>> signpost_text_;  // one encoded frame
  // Oldest first. A flood of connections that never close costs each other their place, not the
  // next client's.
  std::deque<std::weak_ptr<Signpost>> signposts_;
};

}  // namespace kvferry::session
