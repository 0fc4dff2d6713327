#include "session/dial.hpp"

#include <fmt/format.h>

#include <array>
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <variant>

#include "kvferry/error.hpp"
#include "session/identity.hpp"
#include "wire/messages.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;
using Unix = asio::local::stream_protocol;

// Closes a socket when the time is up: the operation in flight then ends with operation_aborted.
template <typename Socket>
class ClosesAt {
 public:
  ClosesAt(Socket& socket, std::chrono::steady_clock::time_point until)
      : timer_(socket.get_executor(), until) {
    timer_.async_wait([&socket, state = state_](std::error_code stopped) {
      // A timer that had already expired runs its handler after we are gone; the socket is, too.
      if (stopped || !state->armed) return;
      state->fired = true;
      std::error_code ignored;
      socket.close(ignored);
    });
  }
  ~ClosesAt() { state_->armed = false; }
  ClosesAt(const ClosesAt&) = delete;
  ClosesAt& operator=(const ClosesAt&) = delete;
  bool fired() const noexcept { return state_->fired; }

 private:
  struct State {
    bool armed = true;
    bool fired = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  asio::steady_timer timer_;
};

[[noreturn]] void explain_failure(const Address& address, const std::error_code& error,
                                  bool timed_out) {
  if (timed_out)
    throw Error(ErrorCode::deadline,
                fmt::format("{} did not answer in time; is the server running and not stopped?",
                            address.to_string()));
  throw Error(ErrorCode::unreachable,
              fmt::format("cannot reach {}: {}; is the server running there?", address.to_string(),
                          error.message()));
}

asio::awaitable<wire::Signpost> read_signpost(const Address& address,
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
    std::array<std::byte, wire::kHeaderBytes> head;
    co_await asio::async_read(socket, asio::buffer(head), asio::use_awaitable);
    const auto header = wire::parse_header(head, wire::kMaxHandshakePayloadBytes);
    std::vector<std::byte> payload(header.payload_bytes);
    co_await asio::async_read(socket, asio::buffer(payload), asio::use_awaitable);
    auto message = wire::decode(payload);
    if (auto* signpost = std::get_if<wire::Signpost>(&message)) co_return std::move(*signpost);
    throw Error(
        ErrorCode::unreachable,
        fmt::format("{} speaks our protocol but is no kvferry listener", address.to_string()));
  } catch (const std::system_error& error) {
    failure = error.code();
  } catch (const Error& error) {
    throw Error(ErrorCode::unreachable, fmt::format("{} does not speak kvferry's protocol: {}",
                                                    address.to_string(), error.what()));
  }
  explain_failure(address, failure, guard.fired());
}

// The path in a signpost comes from whoever holds the port; whose socket it is, the uid check
// decides.
std::string local_socket_of(const Address& address, const wire::Signpost& signpost) {
  if (signpost.boot_id != boot_id() || signpost.boot_id == BootId{})
    throw Error(ErrorCode::refused,
                fmt::format("{} is on another host: this release moves blocks within one host "
                            "(paths host_shm, cuda_ipc); a network path is not part of it",
                            address.to_string()));
  if (signpost.socket_path.empty() || signpost.socket_path.size() > kMaxSocketPath)
    throw Error(ErrorCode::unreachable,
                fmt::format("{} points to a socket path that cannot be one", address.to_string()));
  return signpost.socket_path;
}

}  // namespace

asio::awaitable<Unix::socket> dial(Address address, std::chrono::steady_clock::time_point until) {
  std::string path = address.path;
  if (!address.is_unix) path = local_socket_of(address, co_await read_signpost(address, until));
  Unix::socket socket(co_await asio::this_coro::executor);
  ClosesAt guard(socket, until);
  std::error_code failure;
  try {
    co_await socket.async_connect(Unix::endpoint(path), asio::use_awaitable);
    co_return socket;
  } catch (const std::system_error& error) {
    failure = error.code();
  }
  if (!address.is_unix && !guard.fired())
    throw Error(failure == asio::error::access_denied ? ErrorCode::refused : ErrorCode::unreachable,
                fmt::format("{} is on this host, but its Unix socket {} cannot be opened from "
                            "here: {}; local peers need the same user and a common file system "
                            "(in containers: mount the socket's directory into both)",
                            address.to_string(), path, failure.message()));
  explain_failure(address.is_unix ? address : Address{true, path, {}, 0}, failure, guard.fired());
}

}  // namespace kvferry::session
