#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "kvferry/node.hpp"
#include "session/attempts.hpp"
#include "session/channel.hpp"
#include "session/data_sessions.hpp"
#include "session/data_stream.hpp"
#include "session/identity.hpp"
#include "session/tls_context.hpp"

namespace kvferry::session {

// TCP connections between their arrival and their admission. Each is shown the signpost, and most
// go then: to the Unix socket. One that stays proves itself in TLS, or says what is let in without:
// a Join, and where the listener is insecure, a Hello. On the I/O thread only.
class Reception : public std::enable_shared_from_this<Reception> {
 public:
  // A control connection that may begin its handshake of ours.
  using OnControl = std::function<void(std::shared_ptr<Channel>, Caller, std::optional<Received>)>;
  // A stream for data of the peer with that number.
  using OnData = std::function<void(std::uint64_t peer, std::uint32_t stream, DataStream)>;
  using Log = std::function<void(LogLevel, const std::string&)>;

  struct Setup {
    std::vector<std::byte> signpost;        // one encoded frame
    bool open_to_all = false;               // a Hello will do (insecure)
    std::shared_ptr<const TlsContext> tls;  // null: nobody can prove anything
    std::vector<Permission> permissions;
    std::shared_ptr<DataSessions> sessions;
    OnControl on_control;
    OnData on_data;
    Log log;
  };
  Reception(asio::io_context& io, Setup setup) : io_(io), setup_(std::move(setup)) {}

  void welcome(asio::ip::tcp::socket socket);
  // Ends those that were not admitted; nothing is called from then on.
  void close() noexcept;

 private:
  struct Guest;

  asio::awaitable<void> attend(std::shared_ptr<Guest> guest);
  asio::awaitable<void> show_signpost(Guest& guest);
  asio::awaitable<void> prove(Guest& guest);
  asio::awaitable<void> hear(Guest& guest);
  asio::awaitable<void> see_off(std::shared_ptr<Guest> guest);
  void admit_data(Guest& guest, const wire::Id& session, std::uint32_t stream, DataStream data);
  void make_room(const std::string& source);
  void note_failure(const Guest& guest, const std::string& why);

  asio::io_context& io_;
  Setup setup_;
  Attempts attempts_;
  bool closed_ = false;
  std::list<std::weak_ptr<Guest>> guests_;  // oldest first
};

}  // namespace kvferry::session
