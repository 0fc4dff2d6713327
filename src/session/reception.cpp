#include "session/reception.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;

// How long a connection may read the signpost before it goes on or goes away; and how long proving
// itself may take.
constexpr auto kSignpostTime = std::chrono::seconds(3);
constexpr auto kProofTime = std::chrono::seconds(5);
constexpr auto kFarewellTime = std::chrono::seconds(1);
// Guests at once, of all and of one source; for one more, the oldest goes.
constexpr std::size_t kMaxGuests = 1024;
constexpr std::size_t kMaxGuestsOfOne = 256;
// A Join is some 120 bytes.
constexpr std::uint32_t kMaxJoinBytes = 512;
constexpr unsigned char kTlsHandshakeRecord = 22;

// One household of IPv6 has 2^64 addresses.
std::string source_of(const asio::ip::address& address) {
  if (!address.is_v6()) return address.to_string();
  auto bytes = address.to_v6().to_bytes();
  if (address.to_v6().is_v4_mapped()) return address.to_string();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

std::string text_of(const tcp::endpoint& end) {
  return end.address().is_v6() ? fmt::format("[{}]:{}", end.address().to_string(), end.port())
                               : fmt::format("{}:{}", end.address().to_string(), end.port());
}

}  // namespace

struct Reception::Guest {
  Guest(tcp::socket s, const tcp::endpoint& end)
      : socket(std::move(s)),
        timer(socket.get_executor()),
        name(text_of(end)),
        source(source_of(end.address())) {}

  // Closes the connection then, unless it has been admitted.
  void allow(std::chrono::steady_clock::duration time, const std::shared_ptr<Guest>& self) {
    timer.expires_after(time);
    timer.async_wait([weak = std::weak_ptr(self)](std::error_code stopped) {
      if (stopped) return;
      if (const auto guest = weak.lock()) guest->turn_out();
    });
  }
  void turn_out() noexcept {
    std::error_code ignored;
    if (channel) channel->close();
    socket.close(ignored);
  }

  tcp::socket socket;
  asio::steady_timer timer;
  std::shared_ptr<Channel> channel;  // instead of the socket, while it speaks our frames
  std::string name, source;
  bool told = false;         // over the channel, why it is not let in
  bool attempted = false;    // it did more than read the signpost
  bool crowded_out = false;  // by others: no failure of its own
};

void Reception::welcome(tcp::socket socket) {
  std::error_code error;
  const auto end = socket.remote_endpoint(error);
  if (error || closed_) return;
  tune_network_socket(socket.native_handle());
  const auto guest = std::make_shared<Guest>(std::move(socket), end);
  make_room(guest->source);
  guests_.push_back(guest);
  asio::co_spawn(
      io_,
      [self = shared_from_this(), guest]() -> asio::awaitable<void> {
        co_await self->attend(guest);
      },
      asio::detached);
}

void Reception::make_room(const std::string& source) {
  guests_.remove_if([](const auto& weak) { return weak.expired(); });
  const auto of_source = [&](const auto& weak) {
    const auto guest = weak.lock();
    return guest && guest->source == source;
  };
  const auto count =
      static_cast<std::size_t>(std::count_if(guests_.begin(), guests_.end(), of_source));
  auto leaves = guests_.end();
  if (count >= kMaxGuestsOfOne) {
    leaves = std::find_if(guests_.begin(), guests_.end(), of_source);
  } else if (guests_.size() >= kMaxGuests) {
    leaves = guests_.begin();
  }
  if (leaves == guests_.end()) return;
  if (const auto guest = leaves->lock()) {
    guest->crowded_out = true;
    guest->turn_out();
  }
  guests_.erase(leaves);
}

void Reception::close() noexcept {
  closed_ = true;
  for (const auto& weak : guests_)
    if (const auto guest = weak.lock()) guest->turn_out();
  guests_.clear();
  setup_.on_control = nullptr;
  setup_.on_data = nullptr;
  setup_.log = nullptr;
}

asio::awaitable<void> Reception::attend(std::shared_ptr<Guest> guest) {
  std::string failure;
  try {
    guest->allow(kSignpostTime, guest);
    co_await show_signpost(*guest);
    unsigned char first = 0;
    if (::recv(guest->socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) co_return;
    guest->attempted = true;
    // Said to nobody: whoever comes so often hears nothing that costs us anything.
    if (!attempts_.allowed(guest->source, Attempts::Clock::now())) co_return;
    guest->allow(kProofTime, guest);
    if (first == kTlsHandshakeRecord && setup_.tls) {
      co_await prove(*guest);
    } else {
      co_await hear(*guest);
    }
  } catch (const Error& error) {
    failure = error.what();
  } catch (const std::exception&) {
    // The timer closed it, or it went away.
    if (guest->attempted && !guest->crowded_out) failure = "it did not finish in time";
  }
  if (!failure.empty() && !closed_) {
    note_failure(*guest, failure);
    co_await see_off(guest);
  }
  guest->timer.cancel();
}

// Closing with unread input would reset the connection, and the other side could lose our last
// word, which says why: wait a little for it to close.
asio::awaitable<void> Reception::see_off(std::shared_ptr<Guest> guest) {
  if (guest->channel ? !guest->told : !guest->socket.is_open()) co_return;
  guest->allow(kFarewellTime, guest);
  try {
    if (guest->told) {
      co_await guest->channel->receive_at_most(wire::kMaxHandshakePayloadBytes);  // its Hello
      co_return co_await guest->channel->flush_and_close();
    }
    guest->socket.shutdown(tcp::socket::shutdown_send);
    std::array<std::byte, 1024> scrap;
    while (co_await guest->socket.async_read_some(asio::buffer(scrap), asio::use_awaitable) > 0) {
    }
  } catch (const std::exception&) {
    // Closed, by either side.
  }
}

asio::awaitable<void> Reception::show_signpost(Guest& guest) {
  co_await asio::async_write(guest.socket, asio::buffer(setup_.signpost), asio::use_awaitable);
  co_await guest.socket.async_wait(tcp::socket::wait_read, asio::use_awaitable);
}

asio::awaitable<void> Reception::prove(Guest& guest) {
  const auto tls = setup_.tls;
  auto end = tls->accept(
      guest.socket.native_handle(), guest.name,
      [sessions = setup_.sessions](std::string_view identity) { return sessions->find(identity); });
  for (;;) {
    const Tls::Want want = end->handshake();
    if (want == Tls::Want::nothing) break;
    co_await guest.socket.async_wait(
        want == Tls::Want::read ? tcp::socket::wait_read : tcp::socket::wait_write,
        asio::use_awaitable);
  }
  if (closed_) co_return;
  const Proven proven = end->proven();
  if (proven.by == Proven::By::session) {
    DataStream data(UniqueFd(guest.socket.release()), std::move(end));
    co_return admit_data(guest, proven.session, proven.stream, std::move(data));
  }
  Caller caller;
  caller.over_network = true;
  caller.encrypted = true;
  caller.address = guest.name;
  caller.source = guest.source;
  caller.proven = proven;
  const auto channel = std::make_shared<Channel>(Stream(std::move(guest.socket), std::move(end)));
  const auto rights = rights_of(setup_.permissions, proven);
  if (!rights) {
    const std::string why = fmt::format("{} has no permission here (--permit)", caller.describe());
    guest.channel = channel;
    guest.told = true;
    channel->send(wire::Refusal{ErrorCode::refused, why, {}});
    throw Error(ErrorCode::refused, why);
  }
  caller.rights = *rights;
  setup_.on_control(channel, std::move(caller), std::nullopt);
}

// Not TLS: a frame of ours.
asio::awaitable<void> Reception::hear(Guest& guest) {
  guest.channel = std::make_shared<Channel>(Stream(std::move(guest.socket)));
  const auto channel = guest.channel;
  Received first = co_await channel->receive_at_most(
      setup_.open_to_all ? wire::kMaxHandshakePayloadBytes : kMaxJoinBytes);
  if (closed_) co_return;
  const bool plain_data = setup_.tls == nullptr || setup_.tls->plain_data();
  if (const auto* join = std::get_if<wire::Join>(&first.message); join && plain_data) {
    if (!setup_.sessions->proves(*join))
      throw Error(ErrorCode::refused, "a stream for data of a session that it does not know");
    co_return admit_data(guest, join->session, join->stream,
                         DataStream(channel->release(), nullptr));
  }
  if (!setup_.open_to_all || !std::holds_alternative<wire::Hello>(first.message))
    throw Error(ErrorCode::refused,
                setup_.tls ? "it did not begin TLS" : "it may not come in here");
  Caller caller;
  caller.over_network = true;
  caller.address = guest.name;
  caller.source = guest.source;
  guest.channel.reset();  // not ours to close any more
  setup_.on_control(channel, std::move(caller), std::move(first));
}

void Reception::admit_data(Guest& guest, const wire::Id& session, std::uint32_t stream,
                           DataStream data) {
  const auto peer = setup_.sessions->admit(session, stream);
  if (!peer)
    throw Error(
        ErrorCode::refused,
        fmt::format("stream {} of a session that has ended, or that had it before", stream));
  guest.channel.reset();
  setup_.on_data(*peer, stream, std::move(data));
}

void Reception::note_failure(const Guest& guest, const std::string& why) {
  const std::string line =
      attempts_.line_of(fmt::format("a connection from {} was not let in: {}", guest.name, why),
                        guest.source, Attempts::Clock::now());
  if (!line.empty()) setup_.log(LogLevel::warning, line);
}

}  // namespace kvferry::session
