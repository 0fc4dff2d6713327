// What a peer is granted of our pools, and what it says it did with them. Everything here runs on
// the node's I/O thread.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/scope_exit.hpp"
#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

// Descriptors that may wait for a peer that does not read its grants.
constexpr std::size_t kMaxQueuedFds = 1024;

memory::PoolOffer describe(const PoolImpl& pool, std::uint32_t number, std::uint64_t generation) {
  memory::PoolOffer offer;
  offer.pool = number;
  offer.generation = generation;
  offer.parts = pool.parts;
  offer.block_stride = pool.block_stride;
  offer.planes = pool.planes;
  for (const auto& region : pool.regions) offer.regions.push_back(memory::offer(*region));
  return offer;
}

std::vector<UniqueFd> duplicate_fds(const PoolImpl& pool) {
  std::vector<UniqueFd> fds;
  for (const auto& region : pool.regions) {
    for (const UniqueFd& fd : region->fds()) {
      UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy)
        throw Error(ErrorCode::resource,
                    fmt::format("cannot duplicate a descriptor of pool '{}': {}; raise ulimit -n",
                                pool.options.name, std::strerror(errno)));
      fds.push_back(std::move(copy));
    }
  }
  return fds;
}

std::vector<UniqueFd> take_front(std::vector<UniqueFd>& fds, std::size_t count) {
  std::vector<UniqueFd> front;
  count = std::min(count, fds.size());
  std::move(fds.begin(), fds.begin() + static_cast<std::ptrdiff_t>(count),
            std::back_inserter(front));
  fds.erase(fds.begin(), fds.begin() + static_cast<std::ptrdiff_t>(count));
  return front;
}

}  // namespace

PeerImpl::Granted& PeerImpl::know_granted(std::uint32_t number, const PoolImpl& pool,
                                          std::uint64_t generation) {
  Granted& granted = granted_[number];
  granted.generation = generation;
  granted.bytes_per_block = pool.shape.block_bytes() * pool.shape.layers;
  granted.blocks = pool.blocks;
  granted.pull = who_.may(Direction::pull, pool.options.name);
  granted.push = pool.options.writable && who_.may(Direction::push, pool.options.name);
  return granted;
}

void PeerImpl::grant_begins(std::uint32_t number, const PoolImpl& pool, std::uint64_t generation) {
  ++know_granted(number, pool, generation).open;
  ++grants_out_;
}

bool PeerImpl::grant_ends(std::uint32_t number) noexcept {
  const auto found = granted_.find(number);
  if (found == granted_.end() || found->second.open == 0) return false;
  --found->second.open;
  --grants_out_;
  return true;
}

void PeerImpl::on(const wire::OpenPool& message) {
  const auto node = this->node();
  const auto deny = [&](ErrorCode code, std::string why) {
    say(wire::Denied{message.request, code, std::move(why)});
  };
  const auto [pool, generation] = node->served_pool(message.pool);
  if (!pool) return deny(ErrorCode::refused, "this pool is not served here, or it was revoked");
  if (grants_out_ >= kMaxGrantsOut)
    return deny(ErrorCode::refused,
                fmt::format("{} grants are open already; unmap some first", grants_out_));
  if (who_.over_network && !who_.may_see(pool->options.name))
    return deny(ErrorCode::refused, "this pool is not served here, or it was revoked");
  if (channel_->queued_fds() > kMaxQueuedFds)
    throw Error(ErrorCode::refused, "it asks for pools and does not read the grants");
  if (message.wants_write &&
      !(pool->options.writable && who_.may(Direction::push, pool->options.name)))
    return deny(ErrorCode::refused, fmt::format("pool '{}' is not writable", pool->options.name));
  // Held before it is looked at again: a revoke in between either waits for this grant or denies
  // it.
  node->holds().peer_granted(number_, name_, pool.get(), message.wants_write);
  ScopeExit undo([&] { node->holds().peer_unmapped(number_, pool.get()); });
  if (!node->served_pool(message.pool).pool)
    return deny(ErrorCode::refused, "this pool was just revoked");
  try {
    // Over a network its memory stays ours to touch: we serve requests until it says Unmapped.
    if (who_.over_network)
      say(wire::PoolOpened{message.request});
    else
      say_grant(message, *pool, generation);
    grant_begins(message.pool, *pool, generation);
    undo.release();
  } catch (const Error& error) {
    // It may ask again at once: said at 1, 2, 4, 8, ...
    if (std::has_single_bit(++failed_grants_))
      node->log(LogLevel::error, fmt::format("cannot grant pool to {}: {}", name_, error.what()));
    deny(error.code(), error.what());
  }
}

// Throws: Error{resource}.
void PeerImpl::say_grant(const wire::OpenPool& message, const PoolImpl& pool,
                         std::uint64_t generation) {
  std::vector<UniqueFd> fds = duplicate_fds(pool);
  wire::PoolGrant grant;
  grant.request = message.request;
  grant.shape = pool.shape;
  grant.blocks = pool.blocks;
  grant.offer = describe(pool, message.pool, generation);
  grant.fds_total = static_cast<std::uint32_t>(fds.size());
  say(grant, take_front(fds, wire::kMaxFdsPerFrame));
  while (!fds.empty()) say(wire::MoreFds{message.request}, take_front(fds, wire::kMaxFdsPerFrame));
  node()->log(LogLevel::debug,
              fmt::format("{}: granted pool '{}'{}", name_, pool.options.name,
                          message.wants_write ? " for reading and writing" : " for reading"));
}

// What a peer says it moved is shown to people, added up and published: it cannot be proved here,
// but must at least be possible.
std::string PeerImpl::why_untrue(const wire::Served& message) const {
  const auto found = granted_.find(message.pool);
  if (found == granted_.end()) return ", which it was never granted";
  const Granted& granted = found->second;
  if (message.generation != granted.generation)
    return fmt::format(" in generation {}, which is {} here", message.generation,
                       granted.generation);
  const bool push = message.direction == Direction::push;
  if (!(push ? granted.push : granted.pull))
    return fmt::format(", which it may not {}", to_string(message.direction));
  // A pull may name a block more than once, a push may not.
  if (push && message.blocks > granted.blocks)
    return fmt::format(": {} blocks pushed, where there are {}", message.blocks, granted.blocks);
  const std::uint64_t whole = message.bytes / granted.bytes_per_block;
  if (whole > message.blocks ||
      (whole == message.blocks && message.bytes % granted.bytes_per_block != 0))
    return fmt::format(": {} bytes in {} blocks, which have {} each", message.bytes, message.blocks,
                       granted.bytes_per_block);
  return {};
}

void PeerImpl::on(const wire::Served& message) {
  const auto node = this->node();
  if (const std::string why = why_untrue(message); !why.empty())
    throw Error(ErrorCode::refused,
                fmt::format("it reports a transfer on pool {}{}", message.pool, why));
  const auto pool = node->served_pool(message.pool).pool;
  PeerEvent event;
  event.kind = PeerEvent::Kind::served;
  event.peer = name_;
  event.direction = message.direction;
  event.pool = pool ? pool->options.name : "(revoked)";
  event.path = message.path;
  event.blocks = message.blocks;
  event.bytes = message.bytes;
  event.seconds = message.seconds;
  node->tell(event);
  if (!message.notice) return;
  Notice notice;
  notice.peer = name_;
  notice.pool = event.pool;
  notice.text = *message.notice;
  notice.path = message.path;
  notice.direction = message.direction;
  notice.blocks = message.blocks;
  notice.bytes = message.bytes;
  node->deliver(std::move(notice));
}

void PeerImpl::on(const wire::Unmapped& message) {
  const auto node = this->node();
  // It has given back all already: that frees nothing, and makes no room for more.
  if (!grant_ends(message.pool)) return;
  node->log(LogLevel::debug, fmt::format("{}: unmapped pool {}", name_, message.pool));
  if (const auto pool = node->pool_of(message.pool))
    node->holds().peer_unmapped(number_, pool.get());
}

}  // namespace kvferry::detail
