// What a peer does with each message. Everything here runs on the node's I/O thread.
#include <fmt/format.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

constexpr unsigned kMessagesInARow = 64;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

asio::awaitable<void> PeerImpl::serve() {
  std::string reason = fmt::format("{} ended the connection without a goodbye; it died", name_);
  const auto channel = channel_;
  try {
    for (unsigned i = 1;; ++i) {
      handle(co_await channel->receive());
      // A peer that never stops sending must not keep the thread from the others.
      if (i % kMessagesInARow == 0) co_await asio::post(channel->executor(), asio::use_awaitable);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable)
      reason = fmt::format("{} was cut off: {}", name_, error.what());
  } catch (const std::exception&) {
    // Our own close() ends the read; the reason is known already.
  }
  if (const auto& why = channel->why_given_up(); !why.empty())
    reason = fmt::format("{} was cut off: {}", name_, why);
  connection_over(reason);
}

void PeerImpl::say(const wire::Message& message, std::vector<UniqueFd> fds) {
  if (channel_) channel_->send(message, std::move(fds));
}

void PeerImpl::handle(session::Received received) {
  auto& fds = received.fds;
  std::visit(Overloaded{[&](wire::PoolGrant& m) { on_grant(m, std::move(fds)); },
                        [&](wire::MoreFds& m) { on_more_fds(m, std::move(fds)); },
                        [&](wire::OpenPool& m) { on(m); },
                        [&](wire::PoolOpened& m) { on(m); },
                        [&](wire::Denied& m) { on(m); },
                        [&](wire::Served& m) { on(m); },
                        [&](wire::Revoke& m) { on(m); },
                        [&](wire::Unmapped& m) { on(m); },
                        [&](wire::DataDoor& m) { on(m); },
                        [&](wire::Ping& m) { on(m); },
                        [&](wire::MoveRequest& m) { on(m); },
                        [&](wire::MoveRuns& m) { on(m); },
                        [&](wire::MoveReady& m) { on(m); },
                        [&](wire::MoveCancel& m) { on(m); },
                        [&](wire::MoveEnd& m) { on(m); },
                        [&](wire::WantStreams& m) { on(m); },
                        [&](wire::AskUcx& m) { on(m); },
                        [&](wire::OpenUcx& m) { on(m); },
                        [&](wire::UcxAddress& m) { on(m); },
                        [&](wire::UcxGrant& m) { on(m); },
                        [&](wire::Goodbye&) {
                          std::lock_guard lock(mutex_);
                          said_goodbye_ = true;
                        },
                        [&](auto&) {
                          throw Error(ErrorCode::refused,
                                      fmt::format("a {} message has no place after the handshake",
                                                  wire::name_of(received.message)));
                        }},
             received.message);
}

void PeerImpl::on_grant(wire::PoolGrant& message, std::vector<UniqueFd> fds) {
  const auto announced =
      std::find_if(theirs_.pools.begin(), theirs_.pools.end(),
                   [&](const wire::PoolInfo& p) { return p.number == message.offer.pool; });
  if (announced == theirs_.pools.end())
    throw Error(ErrorCode::refused, "a grant for a pool that was never announced");
  wire::check_grant(message, *announced);
  {
    std::lock_guard lock(mutex_);
    const auto it = pending_.find(message.request);
    if (it != pending_.end() && !it->second.partial) {
      if (it->second.pool != message.offer.pool)
        throw Error(ErrorCode::refused,
                    fmt::format("pool {} was granted where pool {} was asked for",
                                message.offer.pool, it->second.pool));
      it->second.partial.emplace();
      it->second.partial->offer = std::move(message.offer);
      it->second.partial->fds = std::move(fds);
      it->second.fds_expected = message.fds_total;
    } else {
      // Nobody waits for it any more: what was granted goes back.
      const auto pool = message.offer.pool;
      give_back(pool);
      return;
    }
  }
  settle_if_complete(message.request);
}

void PeerImpl::on(const wire::PoolOpened& message) {
  if (!who_.over_network)
    throw Error(ErrorCode::refused, "it opens a pool without a grant, on one host");
  std::lock_guard lock(mutex_);
  const auto it = pending_.find(message.request);
  if (it == pending_.end()) return;
  it->second.promise.set_value({});
  pending_.erase(it);
}

void PeerImpl::on_more_fds(const wire::MoreFds& message, std::vector<UniqueFd> fds) {
  {
    std::lock_guard lock(mutex_);
    const auto it = pending_.find(message.request);
    if (it == pending_.end() || !it->second.partial) return;
    auto& have = it->second.partial->fds;
    if (have.size() + fds.size() > it->second.fds_expected)
      throw Error(ErrorCode::refused, "more file descriptors than the grant announced");
    std::move(fds.begin(), fds.end(), std::back_inserter(have));
  }
  settle_if_complete(message.request);
}

void PeerImpl::settle_if_complete(std::uint32_t request) {
  std::lock_guard lock(mutex_);
  const auto it = pending_.find(request);
  if (it == pending_.end() || it->second.partial->fds.size() < it->second.fds_expected) return;
  it->second.promise.set_value(std::move(*it->second.partial));
  pending_.erase(it);
}

void PeerImpl::on(const wire::Denied& message) {
  if (ucx_denied(message)) return;
  std::lock_guard lock(mutex_);
  const auto it = pending_.find(message.request);
  if (it == pending_.end()) return;
  it->second.promise.set_exception(std::make_exception_ptr(
      Error(message.code, fmt::format("{} refuses: {}", name_, message.message))));
  pending_.erase(it);
}

void PeerImpl::on(const wire::Revoke& message) {
  if (std::none_of(theirs_.pools.begin(), theirs_.pools.end(),
                   [&](const wire::PoolInfo& p) { return p.number == message.pool; }))
    throw Error(ErrorCode::refused, "it revokes a pool that was never announced");
  {
    std::lock_guard lock(mutex_);
    revoked_.insert(message.pool);
  }
  drop_routes([&](const RouteKey& key) { return key.remote == message.pool; });
}

void PeerImpl::connection_over(const std::string& reason) {
  channel_->close();
  channel_.reset();
  Running running{recycler_};
  std::map<RouteKey, OpenedRoute> routes;
  std::map<std::uint32_t, PendingGrant> pending;
  std::string told = reason;
  {
    std::lock_guard lock(mutex_);
    if (!quiet_reason_.empty()) told = quiet_reason_;
    if (said_goodbye_) told = fmt::format("{} closed the connection", name_);
    if (closing_) told = end_reason_;
    alive_ = false;
    end_reason_ = told;
    running = running_;
    routes.swap(routes_);
    pending.swap(pending_);
  }
  for (const auto& transfer : running) transfer->abort(TransferState::peer_died, told);
  for (const auto& [key, opened] : routes)
    retire_captured(opened.route.get(), ErrorCode::unreachable);
  for (auto& [request, grant] : pending)
    grant.promise.set_exception(std::make_exception_ptr(Error(ErrorCode::unreachable, told)));
  const auto node = node_.lock();
  if (!node) return;
  close_links(told);
  close_ucx(told);
  if (session_) node->data_sessions()->close(session_->session);
  if (who_.over_network) {
    // Only we touched our pools for it; what of that is under way has holds of its own.
    node->holds().peer_left(number_);
  } else {
    node->holds().peer_gone(number_, who_.pid, pidfd_);
  }
  PeerEvent event;
  event.kind = PeerEvent::Kind::disconnected;
  event.peer = name_;
  event.message = told;
  node->tell(event);
  node->peer_ended(shared_from_this());
}

}  // namespace kvferry::detail
