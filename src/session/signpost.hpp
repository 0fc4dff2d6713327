#pragma once

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <chrono>
#include <string>

#include "session/address.hpp"
#include "session/tls.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {

// A TCP connection to a listener that has shown its signpost.
struct Reached {
  asio::ip::tcp::socket socket;
  wire::Signpost signpost;
};
// Throws: Error{unreachable}, Error{deadline} past `until`.
asio::awaitable<Reached> reach_listener(Address address,
                                        std::chrono::steady_clock::time_point until);

// Goes through the handshake of `tls`, a client's, on its socket. Throws: as Tls::handshake;
// Error{deadline}.
asio::awaitable<void> shake_hands(asio::ip::tcp::socket& socket, Tls& tls, const std::string& name,
                                  std::chrono::steady_clock::time_point until);

[[noreturn]] void explain_unreachable(const Address& address, const std::error_code& error,
                                      bool timed_out);

}  // namespace kvferry::session
