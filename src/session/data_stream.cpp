#include "session/data_stream.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <asio/ip/address.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include "kvferry/error.hpp"
#include "session/closes_at.hpp"
#include "session/keys.hpp"
#include "session/signpost.hpp"
#include "session/tls_context.hpp"

namespace kvferry::session {
namespace {

// Where a host is gone, or the cable is out, a connection ends after about this time; idle ones are
// asked three times.
constexpr int kIdleSeconds = 5;
constexpr int kIntervalSeconds = 2;
constexpr int kProbes = 3;
constexpr int kUnacknowledgedMs = 10'000;

Address address_of(const wire::DataDoor& door, const Address& reached_at) {
  Address address;
  address.port = reached_at.port != 0 ? reached_at.port : door.port;
  address.host = reached_at.host;
  if (!address.host.empty()) return address;
  std::error_code error;
  const auto listening = asio::ip::make_address(door.ip, error);
  if (error)
    throw Error(ErrorCode::refused, fmt::format("'{}' is no address to open a stream to", door.ip));
  address.host = door.ip;
  if (listening.is_unspecified()) address.host = listening.is_v6() ? "::1" : "127.0.0.1";
  return address;
}

asio::awaitable<void> say_join(asio::ip::tcp::socket& socket, const wire::DataDoor& door,
                               std::uint32_t stream, const std::string& name,
                               std::chrono::steady_clock::time_point until) {
  const auto frame =
      wire::encode(wire::Join{door.session, stream, join_proof(door.session, door.secret, stream)});
  ClosesAt guard(socket, until);
  try {
    co_await asio::async_write(socket, asio::buffer(frame), asio::use_awaitable);
  } catch (const std::system_error& error) {
    throw Error(guard.fired() ? ErrorCode::deadline : ErrorCode::unreachable,
                fmt::format("a stream for data to {}: {}", name, error.code().message()));
  }
}

}  // namespace

asio::awaitable<DataStream> DataDialler::open(wire::DataDoor door, Address reached_at,
                                              std::uint32_t stream,
                                              std::chrono::steady_clock::time_point until) {
  const Address address = address_of(door, reached_at);
  const std::string name = address.to_string();
  Reached reached = co_await reach_listener(address, until);
  if (!door.encrypted) {
    co_await say_join(reached.socket, door, stream, name, until);
    co_return DataStream(UniqueFd(reached.socket.release()), nullptr);
  }
  if (!context_) context_ = make_key_client();
  auto tls = Tls::client(*context_, reached.socket.native_handle(), name,
                         data_key(door.session, door.secret, stream));
  co_await shake_hands(reached.socket, *tls, name, until);
  co_return DataStream(UniqueFd(reached.socket.release()), std::move(tls));
}

void tune_network_socket(int socket) noexcept {
  const auto set = [&](int level, int option, int value) {
    // Where a kernel lacks one, the control connection's pings still notice.
    (void)::setsockopt(socket, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kIntervalSeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMs);
}

}  // namespace kvferry::session
