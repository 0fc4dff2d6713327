#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "session/tls.hpp"

// Two ends of a socket that do not block, for tests.
namespace kvferry::session {

struct SocketPair {
  SocketPair() {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()) == 0) {
      server.reset(fds[0]);
      client.reset(fds[1]);
    }
  }
  UniqueFd server, client;
};

// How a handshake ended at one end: empty, or the error it threw.
struct HandshakeResult {
  std::optional<Error> server, client;
};

// Lets both ends go on in turn until both are through or one has given up.
inline HandshakeResult shake(Tls& server, Tls& client) {
  HandshakeResult result;
  bool server_done = false, client_done = false;
  const auto step = [](Tls& tls, bool& done, std::optional<Error>& error) {
    if (done || error) return;
    try {
      done = tls.handshake() == Tls::Want::nothing;
    } catch (const Error& e) {
      error = e;
    }
  };
  for (int i = 0; i < 20; ++i) {
    step(client, client_done, result.client);
    step(server, server_done, result.server);
  }
  // TLS 1.3 lets a client finish before the server has looked at its certificate.
  if (result.server && !result.client) {
    try {
      std::array<std::byte, 1> byte{};
      client.read(byte);
    } catch (const Error& e) {
      result.client = e;
    }
  }
  return result;
}

}  // namespace kvferry::session
