#pragma once

#include <asio/awaitable.hpp>
#include <asio/local/stream_protocol.hpp>
#include <chrono>

#include "session/address.hpp"

namespace kvferry::session {

// Connects to the Unix socket a node's peers meet on: directly, or by way of the signpost on its
// TCP port. Throws: Error{unreachable} (nobody there, or it does not answer), Error{refused} (on
// another host: no path between hosts in this release; or the socket cannot be opened from here),
// Error{deadline} past `until`.
asio::awaitable<asio::local::stream_protocol::socket> dial(
    Address address, std::chrono::steady_clock::time_point until);

}  // namespace kvferry::session
