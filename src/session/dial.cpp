#include "session/dial.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <asio/local/stream_protocol.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <optional>

#include "kvferry/error.hpp"
#include "session/closes_at.hpp"
#include "session/loopback.hpp"
#include "session/open_files.hpp"
#include "session/signpost.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;
using Unix = asio::local::stream_protocol;

asio::awaitable<Unix::socket> dial_unix(std::string path,
                                        std::chrono::steady_clock::time_point until,
                                        std::error_code& failure, bool& timed_out) {
  Unix::socket socket(co_await asio::this_coro::executor);
  ClosesAt guard(socket, until);
  try {
    co_await socket.async_connect(Unix::endpoint(path), asio::use_awaitable);
  } catch (const std::system_error& error) {
    failure = error.code();
  }
  timed_out = guard.fired();
  co_return socket;
}

Dialled local(Unix::socket socket) {
  Caller who = caller_on(socket.native_handle());
  return {std::make_shared<Channel>(Stream(std::move(socket))), std::move(who)};
}

// Whether a signpost's word that the server is on this host is taken. It is unauthenticated:
// somebody in between could send a client with a credential to another server of its own user, by
// claiming our boot id. So such a client believes it only of an address that is this host's.
bool is_here(const Reached& reached, bool has_credential) {
  if (reached.signpost.boot_id != boot_id() || reached.signpost.boot_id == BootId{}) return false;
  if (!has_credential) return true;
  std::error_code error;
  const auto ours = reached.socket.local_endpoint(error).address();
  const auto theirs = reached.socket.remote_endpoint(error).address();
  return !error && stays_here(ours, theirs);
}

std::string_view option_for(wire::Security security) {
  return security == wire::Security::token ? "a token (--token-file)"
                                           : "a certificate (--tls-cert, --tls-key, --tls-ca)";
}

// Whether we may go on to a peer of another host, before anything is said to it.
void require_agreement(const std::string& name, const Reached& reached,
                       const DialOptions& options) {
  const wire::Signpost& signpost = reached.signpost;
  const auto refuse = [&](const std::string& why) { throw Error(ErrorCode::refused, why); };
  if (!signpost.network)
    refuse(
        fmt::format("{} is on another host and serves its own host only; start it with a token "
                    "or certificate (kvferry keygen makes either) to let in peers of other "
                    "hosts",
                    name));
  const auto ours = options.tls ? options.tls->security() : wire::Security::none;
  if (ours == signpost.security) {
    std::error_code error;
    const bool loopback = is_loopback(reached.socket.remote_endpoint(error).address());
    if (ours == wire::Security::none && !loopback && !options.insecure)
      refuse(
          fmt::format("{} demands no credential, so whoever is on the way could read and change "
                      "every block; give both sides one, or --insecure here as well",
                      name));
    return;
  }
  if (signpost.security == wire::Security::none)
    refuse(
        fmt::format("{} does without credentials, and we have one: we do not fall back to an "
                    "unencrypted connection. Give the server {}, too",
                    name, option_for(ours)));
  refuse(fmt::format("{} wants {}; {}", name, option_for(signpost.security),
                     ours == wire::Security::none ? std::string("give the one it knows")
                                                  : fmt::format("we have {}", option_for(ours))));
}

std::string text_of(const tcp::socket& socket) {
  std::error_code error;
  const auto end = socket.remote_endpoint(error);
  return Address{false, {}, end.address().to_string(), end.port()}.to_string();
}

asio::awaitable<Dialled> over_network(const Address& address, Reached& reached,
                                      const DialOptions& options) {
  const std::string name = address.to_string();
  require_agreement(name, reached, options);
  Caller who;
  who.over_network = true;
  who.address = text_of(reached.socket);
  std::error_code ignored;
  who.dialled_port = reached.socket.remote_endpoint(ignored).port();
  Dialled dialled;
  if (!options.tls) {
    dialled.channel = std::make_shared<Channel>(Stream(std::move(reached.socket)));
    dialled.who = std::move(who);
    co_return dialled;
  }
  auto tls = options.tls->connect(reached.socket.native_handle(), name,
                                  options.server_name.empty() ? address.host : options.server_name);
  co_await shake_hands(reached.socket, *tls, name, options.until);
  who.encrypted = true;
  who.proven = tls->proven();
  dialled.channel = std::make_shared<Channel>(Stream(std::move(reached.socket), std::move(tls)));
  dialled.who = std::move(who);
  co_return dialled;
}

[[noreturn]] void explain_closed_socket(const Address& address, const std::string& path,
                                        const std::error_code& failure) {
  throw Error(failure == asio::error::access_denied ? ErrorCode::refused : ErrorCode::unreachable,
              fmt::format("{} is on this host, but its Unix socket {} cannot be opened from "
                          "here: {}; local peers need the same user and a common file system "
                          "(in containers: mount the socket's directory into both)",
                          address.to_string(), path, failure.message()));
}

}  // namespace

asio::awaitable<Dialled> dial(Address address, DialOptions options) {
  std::error_code failure;
  bool late = false;
  if (address.is_unix) {
    auto socket = co_await dial_unix(address.path, options.until, failure, late);
    if (failure) explain_unreachable(address, failure, late);
    co_return local(std::move(socket));
  }
  Reached reached = co_await reach_listener(address, options.until);
  const std::string path = reached.signpost.socket_path;
  if (is_here(reached, options.tls != nullptr)) {
    auto socket = co_await dial_unix(path, options.until, failure, late);
    if (late) explain_unreachable(Address{true, path, {}, 0}, failure, late);
    throw_if_out_of_files(failure, "cannot reach " + address.to_string());
    // Whose socket it is, the kernel says. Another user's, or one in another container, may still
    // let us in over the network.
    const bool network = reached.signpost.network;
    if (failure && !network) explain_closed_socket(address, path, failure);
    if (!failure && (!network || caller_on(socket.native_handle()).uid == ::geteuid()))
      co_return local(std::move(socket));
  }
  co_return co_await over_network(address, reached, options);
}

}  // namespace kvferry::session
