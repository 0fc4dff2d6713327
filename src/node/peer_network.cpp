// What a peer needs beyond a local one: streams for data, and a way to notice that it is gone.
#include <fmt/format.h>

#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {

void PeerImpl::open_door() {
  const auto node = this->node();
  session_ = node->data_sessions()->open(number_);
  if (const auto door = node->data_door(*session_)) {
    say(*door);
  } else {
    node->data_sessions()->close(session_->session);
    session_.reset();
  }
  std::lock_guard lock(mutex_);
  listens_here_ = session_.has_value();
}

void PeerImpl::on(const wire::DataDoor& message) {
  if (door_) throw Error(ErrorCode::refused, "it tells its door for data a second time");
  // Where control is encrypted and data would not be, both sides must have said so.
  if (who_.encrypted && !message.encrypted && !node()->takes_plain_data()) {
    std::lock_guard lock(mutex_);
    refused_door_ = true;
    why_no_door_ =
        "the peer moves blocks unencrypted (--plain-data), which this side did not agree to; give "
        "--plain-data on both sides, or on neither";
    door_known_.notify_all();
    return;
  }
  if (who_.encrypted && message.encrypted && node()->takes_plain_data())
    node()->log(LogLevel::warning,
                fmt::format("{}: blocks travel encrypted although --plain-data was given here, "
                            "because it was not given there",
                            name_));
  door_ = message;
  std::lock_guard lock(mutex_);
  has_door_ = true;
  door_known_.notify_all();
}

session::Address PeerImpl::network_address() const {
  if (!who_.over_network) return {};
  session::Address address = session::parse_address(who_.address);
  address.port = who_.dialled_port;
  return address;
}

void PeerImpl::on(const wire::Ping& message) {
  if (!message.answer) say(wire::Ping{true});
}

asio::awaitable<void> PeerImpl::keep_asking() {
  const auto channel = channel_;
  if (!channel) co_return;
  const auto silence = node()->peer_silence();
  asio::steady_timer pause(channel->executor());
  for (;;) {
    pause.expires_after(silence / 4);
    co_await pause.async_wait(asio::use_awaitable);
    if (!channel->is_open() || channel_ == nullptr) co_return;
    const auto quiet = Clock::now() - channel->last_heard();
    if (quiet >= silence) {
      quiet_reason_ = fmt::format(
          "{} has said nothing for {:.1f} s, although asked; it is stopped, or its host is gone",
          name_, std::chrono::duration<double>(quiet).count());
      channel->close();
      co_return;
    }
    if (quiet >= silence / 4) say(wire::Ping{});
  }
}

}  // namespace kvferry::detail
