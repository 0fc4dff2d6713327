#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "session/address.hpp"
#include "session/tls.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// A connection that carries blocks, admitted: its next byte, in either direction, is the user's.
// The socket does not block; where there is `tls`, everything goes through it.
struct DataStream {
  UniqueFd socket;
  std::unique_ptr<Tls> tls;  // borrows the socket: goes first
  DataStream() = default;
  DataStream(UniqueFd s, std::unique_ptr<Tls> t) : socket(std::move(s)), tls(std::move(t)) {}
  DataStream(DataStream&&) noexcept = default;
  DataStream& operator=(DataStream&&) = delete;
  ~DataStream() { tls.reset(); }
};

// Opens streams for data to a peer that told us its door. On the node's I/O thread.
class DataDialler {
 public:
  // `reached_at`: where the peer's control connection goes to over the network, numeric; without a
  // host where that is a Unix socket: then the door's own, or loopback where that is a wildcard;
  // without a port where the peer dialled us: then the door's.
  // `stream`: a number that was not used on this door. Throws: Error{unreachable}, Error{deadline}
  // past `until`, Error{refused} (the other side does not know the session any more).
  asio::awaitable<DataStream> open(wire::DataDoor door, Address reached_at, std::uint32_t stream,
                                   std::chrono::steady_clock::time_point until);

 private:
  std::shared_ptr<ssl_ctx_st> context_;  // made at the first encrypted stream
};

// An unauthenticated peer can vanish without a word, and so can its host: gives a TCP socket
// keep-alive, a bound on unacknowledged data, and no delay for small messages.
void tune_network_socket(int socket) noexcept;

}  // namespace kvferry::session
