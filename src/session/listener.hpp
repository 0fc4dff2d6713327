#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/local/stream_protocol.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kvferry/node.hpp"
#include "session/reception.hpp"

namespace kvferry::session {

// Whether a server listens on this Unix socket; one of a killed program refuses. Requires: the path
// is no longer than kMaxSocketPath.
bool somebody_answers(const std::string& path);

// Where a node can be found. Peers of this host meet on the Unix socket, where the kernel says who
// they are. To TCP connections it shows a signpost: the path of that socket, the boot id of this
// host, and what a peer of another host must prove here; then Reception takes over.
class Listener {
 public:
  struct Setup {
    ListenOptions options;
    std::shared_ptr<const TlsContext> tls;  // null: no credential
    std::shared_ptr<DataSessions> sessions;
    Reception::OnControl on_control;
    Reception::OnData on_data;
    Reception::Log log;
  };

  // Binds and listens at once; the handlers run on the io_context. Throws: Error{resource} (in use,
  // no permission), Error{refused} (beyond loopback with neither credential nor insecure),
  // Error{invalid_argument}.
  Listener(asio::io_context& io, Setup setup);
  // Closes both and removes the socket's file.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  // The numeric address listened on, maybe a wildcard; empty: not on TCP.
  const std::string& ip() const noexcept { return ip_; }

 private:
  void listen_tcp(const ListenOptions& options, bool has_credential);
  std::vector<std::byte> signpost(const Setup& setup) const;
  void listen_unix(const std::string& path);
  void accept_next(std::size_t acceptor);
  void accept_next_unix();
  void take_local(asio::local::stream_protocol::socket socket);

  // Handlers that are queued when we go must not touch us.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  asio::io_context& io_;
  Reception::OnControl on_control_;
  std::shared_ptr<Reception> reception_;
  std::string socket_path_;
  asio::local::stream_protocol::acceptor unix_;
  std::vector<asio::ip::tcp::acceptor> tcp_;
  std::uint16_t port_ = 0;
  std::string ip_;
};

}  // namespace kvferry::session
