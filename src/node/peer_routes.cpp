// How a peer's pool becomes addressable here: ask for it, choose a path, map it, keep it.
#include <fmt/format.h>

#include <asio/dispatch.hpp>
#include <asio/post.hpp>

#include "base/scope_exit.hpp"
#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

// How long an owner may take to answer: it only looks up and duplicates a few descriptors.
constexpr auto kGrantTimeout = std::chrono::seconds(5);

std::string list_reasons(const std::vector<PathVerdict>& verdicts) {
  std::string text;
  for (const auto& v : verdicts)
    fmt::format_to(std::back_inserter(text), "\n  {}: {}", v.path, v.reason);
  return text;
}

std::vector<PathVerdict> judge_all(const NodeImpl& node, const PoolImpl& local,
                                   const path::RemoteEnd& remote) {
  std::vector<PathVerdict> verdicts;
  for (const auto& path : node.paths()) verdicts.push_back(path->judge(local, remote));
  return verdicts;
}

// Index of the path to take; -1: none.
int first_usable(const std::vector<PathVerdict>& verdicts, bool allow_slow) {
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].usable && (allow_slow || !verdicts[i].slow)) return static_cast<int>(i);
  return -1;
}

int named_path(const std::vector<PathVerdict>& verdicts, const std::string& name) {
  std::string names;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    if (verdicts[i].path == name) {
      if (!verdicts[i].usable)
        throw Error(ErrorCode::refused, fmt::format("path {} cannot be used for this pair: {}",
                                                    name, verdicts[i].reason));
      return static_cast<int>(i);
    }
    names += ", " + verdicts[i].path;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("path '{}' is not one of: auto{}", name, names));
}

int choose_path(const std::vector<PathVerdict>& verdicts, const TransferOptions& options) {
  if (options.path != "auto") return named_path(verdicts, options.path);
  const int chosen = first_usable(verdicts, false);
  if (chosen >= 0) return chosen;
  const int slow = first_usable(verdicts, true);
  if (slow >= 0 && options.allow_slow) return slow;
  if (slow >= 0)
    throw Error(ErrorCode::refused,
                "only a slow path is left, and --allow-slow (TransferOptions::allow_slow) was not "
                "given:" +
                    list_reasons(verdicts));
  throw Error(ErrorCode::refused, "no path can serve this pair of pools:" + list_reasons(verdicts));
}

}  // namespace

PeerImpl::OpenedRoute PeerImpl::route_for(const std::shared_ptr<PoolImpl>& local,
                                          const wire::PoolInfo& remote,
                                          const TransferOptions& options, Clock::time_point until) {
  const RouteKey key{local.get(), local->generation.load(), remote.number, options.path};
  const auto known = [&]() -> std::optional<OpenedRoute> {
    std::lock_guard lock(mutex_);
    if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
    if (revoked_.count(remote.number) != 0)
      throw Error(ErrorCode::refused,
                  fmt::format("pool '{}' of {} was revoked by its owner (generation {}); connect "
                              "again once it serves a new one",
                              remote.name, name_, remote.generation));
    const auto found = routes_.find(key);
    if (found == routes_.end()) return std::nullopt;
    return found->second;
  };
  if (auto route = known()) return *route;
  const std::unique_lock one_at_a_time(opening_, until);
  if (!one_at_a_time)
    throw Error(ErrorCode::deadline,
                fmt::format("the deadline passed while other routes to {} were opened", name_));
  if (auto route = known()) return *route;
  auto opened = open_route(local, remote, options, key.local_generation, until);
  std::lock_guard lock(mutex_);
  // Not kept where either pool was revoked meanwhile: it goes with the transfer it was opened for.
  const bool current = local->generation.load() == key.local_generation;
  if (alive_ && current && revoked_.count(remote.number) == 0) routes_[key] = opened;
  return opened;
}

PeerImpl::OpenedRoute PeerImpl::open_route(const std::shared_ptr<PoolImpl>& local,
                                           const wire::PoolInfo& remote,
                                           const TransferOptions& options, std::uint64_t generation,
                                           Clock::time_point until) {
  if (const auto fields = diff(local->shape, remote.shape); !fields.empty())
    throw Error(ErrorCode::refused,
                fmt::format("pool '{}' here and pool '{}' of {} differ in geometry:\n{}",
                            local->options.name, remote.name, name_, format_table(fields)));
  const auto node = this->node();
  // Counted before anything can be mapped: a revoke of our pool waits for it, or is seen below.
  node->watch(local);
  node->holds().route_opened(local.get());
  ScopeExit uncount([&] { node->holds().route_closed(local.get()); });
  path::RemoteEnd end = ask_for(remote, until);
  ScopeExit unmap([&] { give_back(remote.number); });
  if (local->generation.load() != generation)
    throw Error(ErrorCode::refused,
                fmt::format("pool '{}' is being revoked here", local->options.name));
  const auto verdicts = judge_all(*node, *local, end);
  const auto& path = node->paths()[static_cast<std::size_t>(choose_path(verdicts, options))];
  for (const auto& verdict : verdicts)
    node->log(LogLevel::debug, fmt::format("{}: pool '{}' by {}: {}", name_, remote.name,
                                           verdict.path, verdict.reason));
  const auto begin = Clock::now();
  auto route = path->open(local, std::move(end));
  node->log(LogLevel::debug,
            fmt::format("{}: pool '{}' mapped by {} in {:.3f} ms", name_, remote.name, path->name(),
                        std::chrono::duration<double, std::milli>(Clock::now() - begin).count()));
  OpenedRoute opened;
  opened.path = path->name();
  opened.route = {route.release(), [self = shared_from_this(), node, local,
                                    number = remote.number](path::Route* mapped) {
                    delete mapped;
                    node->holds().route_closed(local.get());
                    self->give_back(number);
                  }};
  uncount.release();
  unmap.release();
  return opened;
}

path::RemoteEnd PeerImpl::ask_for(const wire::PoolInfo& remote, Clock::time_point until) {
  const auto node = this->node();
  std::future<path::RemoteEnd> answer;
  std::uint32_t request = 0;
  {
    std::lock_guard lock(mutex_);
    if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
    request = next_request_++;
    PendingGrant& pending = pending_[request];
    pending.pool = remote.number;
    answer = pending.promise.get_future();
  }
  asio::post(node->io(), [self = shared_from_this(), request, &remote] {
    self->say(wire::OpenPool{request, remote.number, remote.writable});
  });
  const auto began = Clock::now();
  if (answer.wait_until(std::min(until, began + kGrantTimeout)) != std::future_status::ready) {
    std::unique_lock lock(mutex_);
    // It may have come just now.
    if (pending_.erase(request) != 0)
      throw Error(
          ErrorCode::deadline,
          fmt::format("{} did not grant pool '{}' within {:.3g} s; is it stopped?", name_,
                      remote.name, std::chrono::duration<double>(Clock::now() - began).count()));
  }
  path::RemoteEnd end = answer.get();
  end.shape = remote.shape;
  end.blocks = remote.blocks;
  end.writable = remote.writable;
  end.data = asking_;
  end.ucx = ucx_link();
  end.until = until;
  end.over_network = who_.over_network;
  end.offer.pool = remote.number;
  end.offer.generation = remote.generation;
  // Of a process on another host there is no more to know.
  if (who_.over_network) return end;
  end.pid = who_.pid;
  end.pidfd = pidfd_->get();
  end.same_process = who_.pid == ::getpid();
  return end;
}

void PeerImpl::give_back(std::uint32_t remote_pool) {
  const auto node = node_.lock();
  if (!node) return;
  std::uint64_t generation = 1;
  for (const auto& info : theirs_.pools)
    if (info.number == remote_pool) generation = info.generation;
  // At once where this is the I/O thread: the owner must hear it before a goodbye that is posted
  // already.
  asio::dispatch(node->io(), [self = shared_from_this(), remote_pool, generation] {
    self->say(wire::Unmapped{remote_pool, generation});
  });
}

void PeerImpl::prepare(const Pool& local, const TransferOptions& options) {
  route_for(local.state(),
            remote_pool(options.remote_pool.empty() ? local.name() : options.remote_pool), options,
            kNever);
}

void PeerImpl::drop_routes_of(const PoolImpl* local) {
  drop_routes([&](const RouteKey& key) { return key.local == local; });
}

void PeerImpl::drop_routes(const std::function<bool(const RouteKey&)>& which) {
  std::vector<OpenedRoute> dropped;  // released outside the lock; unmapped once nothing uses them
  {
    std::lock_guard lock(mutex_);
    for (auto it = routes_.begin(); it != routes_.end();) {
      if (!which(it->first)) {
        ++it;
        continue;
      }
      dropped.push_back(std::move(it->second));
      it = routes_.erase(it);
    }
  }
  for (const auto& opened : dropped) retire_captured(opened.route.get(), ErrorCode::refused);
}

std::vector<PairExplanation> PeerImpl::explain() {
  const auto node = this->node();
  std::vector<PairExplanation> pairs;
  for (const auto& local : node->served_pools()) {
    for (const auto& remote : theirs_.pools) {
      if (remote.name != local->options.name) continue;
      PairExplanation pair;
      pair.local_pool = local->options.name;
      pair.remote_pool = remote.name;
      const path::RemoteEnd end = ask_for(remote, kNever);
      pair.verdicts = judge_all(*node, *local, end);
      give_back(remote.number);
      const int chosen = first_usable(pair.verdicts, false);
      if (chosen >= 0) pair.chosen = pair.verdicts[static_cast<std::size_t>(chosen)].path;
      pairs.push_back(std::move(pair));
    }
  }
  return pairs;
}

}  // namespace kvferry::detail
