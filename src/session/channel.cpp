#include "session/channel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

constexpr int kMaxFds = wire::kMaxFdsPerFrame;
// Of a payload that was only announced so far. Most messages are smaller.
constexpr std::size_t kFirstPart = 16u << 10;

}  // namespace

Channel::Channel(Stream stream) : stream_(std::move(stream)) {}

asio::awaitable<Received> Channel::receive() {
  return receive_at_most(established_ ? wire::kMaxPayloadBytes : wire::kMaxHandshakePayloadBytes);
}

asio::awaitable<Received> Channel::receive_at_most(std::uint32_t payload_bytes) {
  std::array<std::byte, wire::kHeaderBytes> head;
  co_await read_exactly(head);
  const wire::FrameHeader header = wire::parse_header(head, payload_bytes);
  // Grows as bytes come, not as they are promised: a peer that says "1 MiB" and nothing more, on
  // each of its connections, costs it more than us.
  std::vector<std::byte> payload;
  while (payload.size() < header.payload_bytes) {
    const std::size_t had = payload.size();
    payload.resize(std::min<std::size_t>(header.payload_bytes, had + std::max(kFirstPart, had)));
    co_await read_exactly(std::span(payload).subspan(had));
  }
  Received received{wire::decode(payload), {}};
  if (pending_fds_.size() != header.fds)
    throw Error(ErrorCode::failed, fmt::format("the peer announced {} file descriptors and sent {}",
                                               header.fds, pending_fds_.size()));
  // Without a way to pass them, a frame has none; what it lacks then is for its reader to notice.
  wire::check_fds(received.message, header.fds);
  received.fds = std::exchange(pending_fds_, {});
  co_return received;
}

asio::awaitable<void> Channel::read_exactly(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t got = stream_.read_some(bytes, pending_fds_);
    check_fds();
    bytes = bytes.subspan(got);
    if (got == 0) {
      co_await stream_.readable();
    } else {
      last_heard_ = std::chrono::steady_clock::now();
    }
  }
}

// None has a place in the handshake, and whoever sends them there is nobody yet.
void Channel::check_fds() const {
  const std::size_t most = established_ ? kMaxFds : 0;
  if (pending_fds_.size() > most)
    throw Error(ErrorCode::failed,
                "the peer sent more file descriptors than the message may carry");
}

void Channel::send(const wire::Message& message, std::vector<UniqueFd> fds) {
  if (!is_open()) return;
  Outgoing out{wire::encode(message, static_cast<std::uint16_t>(fds.size())), 0, std::move(fds)};
  queued_bytes_ += out.bytes.size();
  queued_fds_ += out.fds.size();
  queue_.push_back(std::move(out));
  if (queued_bytes_ > kMaxQueuedBytes) return give_up("it does not read what it is sent");
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(
      stream_.executor(),
      [self = shared_from_this()]() -> asio::awaitable<void> { co_await self->write_loop(); },
      asio::detached);
}

asio::awaitable<void> Channel::write_loop() {
  try {
    while (is_open() && (!queue_.empty() || stream_.has_unsent())) {
      if (!write_some()) co_await stream_.writable();
    }
  } catch (const std::exception&) {
    // The reader sees the same end and reports it.
    close();
  }
  writing_ = false;
}

bool Channel::write_some() {
  if (queue_.empty()) {
    stream_.write_some({}, {});
    return !stream_.has_unsent();
  }
  Outgoing& out = queue_.front();
  const std::size_t sent = stream_.write_some(std::span(out.bytes).subspan(out.sent), out.fds);
  if (sent == 0) return false;
  out.sent += sent;
  queued_fds_ -= out.fds.size();
  out.fds.clear();
  if (out.sent == out.bytes.size()) {
    queued_bytes_ -= out.bytes.size();
    queue_.pop_front();
  }
  return true;
}

void Channel::give_up(std::string why) noexcept {
  if (is_open() && why_given_up_.empty()) why_given_up_ = std::move(why);
  close();
}

void Channel::close() noexcept {
  stream_.close();
  queue_.clear();
  queued_bytes_ = 0;
  queued_fds_ = 0;
}

asio::awaitable<void> Channel::flush_and_close() {
  asio::steady_timer pause(stream_.executor());
  for (int i = 0; i < 100 && is_open() && writing_; ++i) {
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(asio::use_awaitable);
  }
  close();
}

}  // namespace kvferry::session
