#include "node/peer_impl.hpp"

#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>

#include "base/time_after.hpp"
#include "memory/gpu_uuid.hpp"
#include "node/node_impl.hpp"

namespace kvferry::detail {
namespace {

RemotePool describe_pool(const wire::PoolInfo& info) {
  RemotePool pool;
  pool.name = info.name;
  pool.tag = info.tag;
  pool.shape = info.shape;
  pool.blocks = info.blocks;
  pool.writable = info.writable;
  pool.generation = info.generation;
  pool.device = "host";
  if (info.device == Device::Kind::cuda) pool.device = "cuda " + memory::format_uuid(info.gpu);
  return pool;
}

std::string join_names(const std::vector<wire::PoolInfo>& pools) {
  std::string names;
  for (const auto& pool : pools)
    fmt::format_to(std::back_inserter(names), "{}'{}'", names.empty() ? "" : ", ", pool.name);
  return names.empty() ? "none" : names;
}

}  // namespace

std::string describe_peer(const wire::Hello& hello, pid_t pid) {
  return hello.node.empty() ? fmt::format("pid {}", pid)
                            : fmt::format("{} (pid {})", hello.node, pid);
}

PeerImpl::PeerImpl(const std::shared_ptr<NodeImpl>& node, std::uint64_t number,
                   std::shared_ptr<session::Channel> channel, session::Credentials who,
                   wire::Hello theirs)
    : node_(node),
      number_(number),
      channel_(std::move(channel)),
      who_(std::move(who)),
      pidfd_(std::make_shared<const UniqueFd>(std::move(who_.pidfd))),
      theirs_(std::move(theirs)),
      name_(describe_peer(theirs_, who_.pid)) {}

bool PeerImpl::alive() const {
  std::lock_guard lock(mutex_);
  return alive_;
}

std::vector<RemotePool> PeerImpl::pools() const {
  std::vector<RemotePool> pools;
  for (const auto& info : theirs_.pools) pools.push_back(describe_pool(info));
  return pools;
}

std::shared_ptr<NodeImpl> PeerImpl::node() const {
  auto node = node_.lock();
  if (!node) throw Error(ErrorCode::invalid_argument, "the Node of this Peer is gone");
  return node;
}

const wire::PoolInfo& PeerImpl::remote_pool(const std::string& name) const {
  for (const auto& info : theirs_.pools)
    if (info.name == name) return info;
  throw Error(ErrorCode::refused, fmt::format("peer {} has no pool '{}'; it serves {}", name_, name,
                                              join_names(theirs_.pools)));
}

void PeerImpl::check_allowed(const wire::PoolInfo& remote, Direction direction,
                             const TransferOptions& options) const {
  if (direction == Direction::push && !remote.writable)
    throw Error(ErrorCode::refused,
                fmt::format("push into pool '{}' of {}: its owner has not made it writable; serve "
                            "it with --writable (PoolOptions::writable)",
                            remote.name, name_));
  if (!options.notice) return;
  if (options.notice->size() > wire::kMaxTextBytes)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("notice has {} bytes; at most {} travel", options.notice->size(),
                            wire::kMaxTextBytes));
  if (!wire::is_clean_text(*options.notice, wire::LineBreaks::allowed))
    throw Error(ErrorCode::invalid_argument,
                "notice is not UTF-8 text, or holds control characters other than tab and newline");
}

std::shared_ptr<TransferImpl> PeerImpl::start(const Request& request, const Pool& local,
                                              const TransferOptions& options) {
  const auto called = Clock::now();
  const bool pull = request.direction == Direction::pull;
  const auto& remote =
      remote_pool(options.remote_pool.empty() ? local.name() : options.remote_pool);
  check_allowed(remote, request.direction, options);
  const OpenedRoute opened = route_for(local.state(), remote, options);
  const auto& there = opened.route->remote();
  const auto& here = opened.route->local();
  // This is where block ids become rows.
  plan::Plan plan = plan::make_plan(pull ? there : here, pull ? here : there,
                                    pull ? request.remote_ids : request.local_ids,
                                    pull ? request.local_ids : request.remote_ids, options.layers);
  TransferImpl::Start begin;
  begin.called = called;
  if (options.deadline) begin.deadline = time_after(called, *options.deadline);
  begin.report.path = opened.path;
  begin.report.bytes = plan.bytes();
  begin.report.blocks = plan.blocks;
  begin.report.layers = plan.planes / std::max(here.parts, there.parts);
  begin.report.pieces = plan.pieces();
  begin.job = {request.direction, options.stream, options.copy, options.max_sms};
  Ending ending;
  ending.served = {remote.number, remote.generation, request.direction,
                   plan.blocks,   plan.bytes(),      0,
                   opened.path,   options.notice};
  ending.notify_completion = options.notify_completion;
  ending.tag = options.tag;
  if (options.deadline) ending.deadline = std::make_shared<DeadlineTimer>();
  auto transfer = std::make_shared<TransferImpl>(
      std::move(begin),
      [self = shared_from_this(), ending](TransferImpl& it, std::shared_ptr<path::Route> route) {
        self->ended(it, std::move(route), ending);
      });
  launch(transfer, opened.route, std::move(plan));
  if (ending.deadline) arm(ending.deadline, transfer);
  return transfer;
}

void PeerImpl::launch(const std::shared_ptr<TransferImpl>& transfer,
                      const std::shared_ptr<path::Route>& route, plan::Plan plan) {
  const auto node = this->node();
  {
    std::lock_guard lock(mutex_);
    if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
    running_.insert(transfer);
  }
  node->transfer_began();
  try {
    transfer->begin(route, std::move(plan));
  } catch (...) {
    forget(*transfer);
    throw;
  }
}

void PeerImpl::forget(TransferImpl& transfer) {
  {
    std::lock_guard lock(mutex_);
    running_.erase(transfer.shared_from_this());
    idle_.notify_all();
  }
  if (const auto node = node_.lock()) node->transfer_over();
}

// Runs on whichever thread noticed the end, a CUDA callback included: everything that may block or
// call CUDA is posted.
void PeerImpl::ended(TransferImpl& transfer, std::shared_ptr<path::Route> route,
                     const Ending& ending) {
  // Holds the node until the last line: shutdown() goes on once the transfer is forgotten.
  const auto node = node_.lock();
  const TransferState state = transfer.state();
  if (node && ending.notify_completion)
    node->events().push(Completion{ending.tag, state, Transfer(transfer.shared_from_this())});
  if (node)
    asio::post(node->io(),
               [self = shared_from_this(), route = std::move(route), ending = Ending(ending), state,
                seconds = transfer.report().total_s]() mutable {
                 route.reset();
                 if (ending.deadline) ending.deadline->end();
                 if (state != TransferState::done) return;
                 ending.served.seconds = seconds;
                 self->say(ending.served);
               });
  forget(transfer);
}

void PeerImpl::arm(const std::shared_ptr<DeadlineTimer>& deadline,
                   const std::shared_ptr<TransferImpl>& transfer) {
  const auto node = node_.lock();
  if (!node || transfer->state() != TransferState::running) return;
  asio::post(node->io(), [node, deadline, transfer] {
    deadline->begin(node->io(), *transfer->deadline(), [weak = std::weak_ptr(transfer)] {
      if (const auto late = weak.lock())
        late->abort(TransferState::deadline, "the deadline passed while blocks were moving");
    });
  });
}

void PeerImpl::close() noexcept {
  std::set<std::shared_ptr<TransferImpl>> running;
  std::map<RouteKey, OpenedRoute> routes;
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    if (alive_) end_reason_ = fmt::format("the connection to {} was closed here", name_);
    alive_ = false;
    running = running_;
    routes.swap(routes_);
  }
  for (const auto& transfer : running)
    transfer->abort(TransferState::cancelled, "the connection was closed here");
  for (const auto& transfer : running)
    while (!transfer->wait_until(Clock::now() + std::chrono::seconds(1))) {
    }
  running.clear();
  {
    // Each has posted its last words and let go of its route.
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_.empty(); });
  }
  routes.clear();
  const auto node = node_.lock();
  if (!node) return;
  // Posted behind the Unmapped messages of the routes, so that the owner hears them first.
  asio::post(node->io(), [self = shared_from_this()] {
    const auto channel = self->channel_;
    if (!channel) return;
    channel->send(wire::Goodbye{"closed"});
    asio::co_spawn(
        channel->executor(),
        [channel]() -> asio::awaitable<void> { co_await channel->flush_and_close(); },
        asio::detached);
  });
}

}  // namespace kvferry::detail
