// Who has a place among a node's peers.
#include <fmt/format.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

// Fewer places are not shared out.
constexpr std::uint32_t kFewPeers = 16;

}  // namespace

// Closed when the node goes, until a peer takes care of it.
void NodeImpl::remember(const std::shared_ptr<session::Channel>& channel) {
  std::erase_if(handshakes_, [](const auto& weak) { return weak.expired(); });
  handshakes_.push_back(channel);
}

void NodeImpl::accept(std::shared_ptr<session::Channel> channel, session::Caller who,
                      std::optional<session::Received> first) {
  std::erase_if(handshakes_, [](const auto& weak) { return weak.expired(); });
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;  // closes it
  }
  // Connections that say nothing cost each other their place, not the next client's.
  if (!handshakes_.empty() && handshakes_.size() >= options_.max_peers) {
    if (const auto oldest = handshakes_.front().lock()) oldest->close();
    handshakes_.erase(handshakes_.begin());
  }
  remember(channel);
  asio::co_spawn(*io_, meet(std::move(channel), std::move(who), std::move(first)), asio::detached);
}

// An address of another host has at most half of the places, so that one client, broken or hostile,
// does not keep out all others. By address rather than by credential: a cluster often has one token
// for everybody, and whoever has it can come from few addresses only. Local peers are not counted:
// they are our own user's, who may run as many as there are places, and could end this process
// anyway.
void NodeImpl::require_place(const session::Caller& caller) const {
  const std::uint32_t most = options_.max_peers;
  std::lock_guard lock(mutex_);
  if (peers_.size() >= most)
    throw Error(ErrorCode::resource,
                fmt::format("{} peers are connected already, as many as it takes "
                            "(NodeOptions::max_peers); close some, or raise it there",
                            peers_.size()));
  if (caller.source.empty() || most <= kFewPeers) return;
  const auto of_source = std::count_if(peers_.begin(), peers_.end(), [&](const auto& peer) {
    return peer->source() == caller.source;
  });
  if (static_cast<std::uint32_t>(of_source) >= most / 2)
    throw Error(ErrorCode::resource,
                fmt::format("{} peers from {} are connected already: one address has at most half "
                            "of {} places (NodeOptions::max_peers); close some, or raise it there",
                            of_source, caller.source, most));
}

bool NodeImpl::admit(const std::shared_ptr<PeerImpl>& peer) {
  peer->make_links();
  peer->make_ucx_link();
  {
    std::lock_guard lock(mutex_);
    if (closing_) return false;
    peers_.push_back(peer);
  }
  // From here on the peer closes its channel itself, after a goodbye.
  std::erase_if(handshakes_, [&](const auto& weak) { return peer->owns(weak.lock().get()); });
  std::string pools;
  for (const auto& pool : peer->pools())
    pools += fmt::format("; pool '{}': {}, {} blocks on {}", pool.name, pool.shape.to_string(),
                         pool.blocks, pool.device);
  log(LogLevel::debug, fmt::format("{}: connected, kvferry {}{}", peer->name(), peer->software(),
                                   pools.empty() ? "; no pools" : pools));
  PeerEvent event;
  event.kind = PeerEvent::Kind::connected;
  event.peer = peer->name();
  tell(event);
  peer->open_door();
  asio::co_spawn(
      *io_, [peer]() -> asio::awaitable<void> { co_await peer->serve(); }, asio::detached);
  if (peer->is_over_network())
    asio::co_spawn(
        *io_, [peer]() -> asio::awaitable<void> { co_await peer->keep_asking(); }, asio::detached);
  return true;
}

}  // namespace kvferry::detail
