#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "session/address.hpp"
#include "session/channel.hpp"
#include "session/identity.hpp"
#include "session/tls_context.hpp"

namespace kvferry::session {

struct DialOptions {
  std::chrono::steady_clock::time_point until{};
  std::shared_ptr<const TlsContext> tls;  // null: no credential
  bool insecure = false;
  std::string server_name{};  // that the certificate must be for; empty: as the address says
};

// A connection on which the Hellos may begin.
struct Dialled {
  std::shared_ptr<Channel> channel;
  Caller who;
};

// Connects to a node: by its Unix socket, directly or by way of the signpost on its TCP port, where
// it is on this host; else over TCP, inside TLS unless neither side has a credential. Throws:
// Error{unreachable} (nobody there, or it does not answer), Error{refused} (one side's credential
// does not satisfy the other), Error{deadline} past `until`.
asio::awaitable<Dialled> dial(Address address, DialOptions options);

}  // namespace kvferry::session
