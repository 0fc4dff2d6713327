#include "session/signpost.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <asio/connect.hpp>
#include <asio/read.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <variant>

#include "base/unique_fd.hpp"
#include "kvferry/error.hpp"
#include "session/closes_at.hpp"
#include "session/data_stream.hpp"
#include "session/open_files.hpp"

namespace kvferry::session {

using asio::ip::tcp;

namespace {

// asio calls it "aborted" where it got no socket to connect with; the system says why.
std::error_code why_aborted() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe ? std::error_code(asio::error::operation_aborted)
               : std::error_code(errno, asio::system_category());
}

}  // namespace

void explain_unreachable(const Address& address, const std::error_code& error, bool timed_out) {
  if (!timed_out && (error == asio::error::eof || error == asio::error::connection_reset))
    throw Error(ErrorCode::unreachable,
                fmt::format("{} took the connection and closed it before it answered; it may be "
                            "another program than a kvferry server, or a server that is ending, "
                            "or refuses us or has no place left (see what it says there)",
                            address.to_string()));
  if (timed_out)
    throw Error(ErrorCode::deadline,
                fmt::format("{} did not answer in time; is the server running and not stopped?",
                            address.to_string()));
  throw_if_out_of_files(error == asio::error::operation_aborted ? why_aborted() : error,
                        "cannot reach " + address.to_string());
  throw Error(ErrorCode::unreachable,
              fmt::format("cannot reach {}: {}; is the server running there?", address.to_string(),
                          error.message()));
}

asio::awaitable<Reached> reach_listener(Address address,
                                        std::chrono::steady_clock::time_point until) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::socket socket(executor);
  ClosesAt guard(socket, until);
  std::error_code failure;
  try {
    const auto found = co_await tcp::resolver(executor).async_resolve(
        address.host, std::to_string(address.port), asio::use_awaitable);
    // Past the time a socket must not be opened again: nothing would close it.
    if (guard.fired()) throw std::system_error(asio::error::operation_aborted);
    co_await asio::async_connect(socket, found, asio::use_awaitable);
    tune_network_socket(socket.native_handle());
    std::array<std::byte, wire::kHeaderBytes> head;
    co_await asio::async_read(socket, asio::buffer(head), asio::use_awaitable);
    const auto header = wire::parse_header(head, wire::kMaxHandshakePayloadBytes);
    std::vector<std::byte> payload(header.payload_bytes);
    co_await asio::async_read(socket, asio::buffer(payload), asio::use_awaitable);
    auto message = wire::decode(payload);
    if (auto* signpost = std::get_if<wire::Signpost>(&message)) {
      if (guard.fired()) throw std::system_error(asio::error::operation_aborted);
      socket.non_blocking(true);
      Reached reached{std::move(socket), std::move(*signpost)};
      co_return reached;
    }
    throw Error(
        ErrorCode::unreachable,
        fmt::format("{} speaks our protocol but is no kvferry listener", address.to_string()));
  } catch (const std::system_error& error) {
    failure = error.code();
  } catch (const Error& error) {
    throw Error(ErrorCode::unreachable, fmt::format("{} does not speak kvferry's protocol: {}",
                                                    address.to_string(), error.what()));
  }
  explain_unreachable(address, failure, guard.fired());
}

asio::awaitable<void> shake_hands(tcp::socket& socket, Tls& tls, const std::string& name,
                                  std::chrono::steady_clock::time_point until) {
  ClosesAt guard(socket, until);
  std::error_code failure;
  try {
    for (;;) {
      const Tls::Want want = tls.handshake();
      if (want == Tls::Want::nothing) co_return;
      co_await socket.async_wait(
          want == Tls::Want::read ? tcp::socket::wait_read : tcp::socket::wait_write,
          asio::use_awaitable);
    }
  } catch (const std::system_error& error) {
    failure = error.code();
  }
  if (guard.fired())
    throw Error(ErrorCode::deadline,
                fmt::format("{} did not finish the TLS handshake in time; is it stopped?", name));
  throw Error(ErrorCode::unreachable, fmt::format("{}: {}", name, failure.message()));
}

}  // namespace kvferry::session
