#include "node/peer_impl.hpp"

#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>

#include "base/time_after.hpp"
#include "memory/gpu_uuid.hpp"
#include "node/node_impl.hpp"

namespace kvferry::detail {

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

namespace {

std::string join_names(const std::vector<wire::PoolInfo>& pools) {
  std::string names;
  for (const auto& pool : pools)
    fmt::format_to(std::back_inserter(names), "{}'{}'", names.empty() ? "" : ", ", pool.name);
  return names.empty() ? "none" : names;
}

}  // namespace

std::string describe_peer(const wire::Hello& hello, const session::Caller& who) {
  return hello.node.empty() ? who.describe() : fmt::format("{} ({})", hello.node, who.describe());
}

PeerImpl::PeerImpl(const std::shared_ptr<NodeImpl>& node, std::uint64_t number,
                   std::shared_ptr<session::Channel> channel, session::Caller who,
                   wire::Hello theirs)
    : node_(node),
      number_(number),
      channel_(std::move(channel)),
      who_(std::move(who)),
      pidfd_(std::make_shared<const UniqueFd>(std::move(who_.pidfd))),
      theirs_(std::move(theirs)),
      name_(describe_peer(theirs_, who_)) {}

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
                fmt::format("push into pool '{}' of {}: it is not writable for us; serve "
                            "it with --writable (PoolOptions::writable), and where it has --permit "
                            "(ListenOptions::permissions), let our credential write",
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

namespace {

// Planned in memory that this thread keeps for its next transfer.
plan::Plan& scratch_plan() {
  // A list this long is rare enough to allocate for, and too much to keep: 1.5 MiB.
  constexpr std::size_t kMostRuns = 1u << 17;
  thread_local plan::Plan plan;
  if (plan.runs.capacity() > kMostRuns) plan = {};
  return plan;
}

// This is where block ids become rows.
void plan_request(const PeerImpl::Request& request, const path::Route& route, LayerRange layers,
                  plan::Plan& plan) {
  const bool pull = request.direction == Direction::pull;
  const auto& there = route.remote();
  const auto& here = route.local();
  plan::make_plan(pull ? there : here, pull ? here : there,
                  pull ? request.remote_ids : request.local_ids,
                  pull ? request.local_ids : request.remote_ids, layers, plan);
}

}  // namespace

TransferImpl::Start PeerImpl::start_of(const wire::PoolInfo& remote, Direction direction,
                                       const TransferOptions& options, const OpenedRoute& opened,
                                       const plan::Plan& plan) {
  TransferImpl::Start start;
  start.report.path = opened.path;
  start.report.bytes = plan.bytes();
  start.report.blocks = plan.blocks;
  start.report.layers =
      plan.planes / std::max(opened.route->local().parts, opened.route->remote().parts);
  start.report.pieces = plan.pieces();
  start.job.direction = direction;
  start.job.stream = options.stream;
  start.job.copy = options.copy;
  start.job.max_sms = options.max_sms;
  start.job.layers = options.layers;
  start.job.streams = options.streams;
  start.job.checksum = options.checksum;
  start.job.bytes_per_s = options.bytes_per_s;
  start.job.prompt = options.notify_completion || options.notice.has_value();
  start.ending.served = {remote.number, remote.generation, direction, plan.blocks, plan.bytes(), 0,
                         opened.path,   options.notice};
  start.ending.notify_completion = options.notify_completion;
  start.ending.tag = options.tag;
  return start;
}

std::shared_ptr<TransferImpl> PeerImpl::make_transfer(
    TransferImpl::Start start, const std::optional<std::chrono::nanoseconds>& deadline) {
  if (deadline) {
    start.deadline = time_after(start.called, *deadline);
    start.job.deadline = start.deadline;
    start.ending.deadline = std::make_shared<DeadlineTimer>();
  }
  return std::allocate_shared<TransferImpl>(RecyclingAllocator<TransferImpl>(recycler_),
                                            std::move(start), shared_from_this());
}

std::shared_ptr<TransferImpl> PeerImpl::start(const Request& request, const Pool& local,
                                              const TransferOptions& options) {
  const auto called = Clock::now();
  const auto until = options.deadline ? time_after(called, *options.deadline) : kNever;
  const auto& remote =
      remote_pool(options.remote_pool.empty() ? local.name() : options.remote_pool);
  check_allowed(remote, request.direction, options);
  OpenedRoute opened;
  try {
    opened = route_for(local.state(), remote, options, until);
  } catch (const Error& error) {
    // A path that gave up waiting says that it cannot be used.
    const bool waited = error.code() == ErrorCode::deadline || error.code() == ErrorCode::refused;
    if (!waited || Clock::now() < until) throw;
    return start_late(request, options, called, error.what());
  }
  plan::Plan& plan = scratch_plan();
  plan_request(request, *opened.route, options.layers, plan);
  TransferImpl::Start start = start_of(remote, request.direction, options, opened, plan);
  start.called = called;
  const auto transfer = make_transfer(std::move(start), options.deadline);
  launch(transfer, [&] { transfer->begin(opened.route, plan); });
  return transfer;
}

// The time was up before the pools were mapped: a transfer like others, that moves nothing.
std::shared_ptr<TransferImpl> PeerImpl::start_late(const Request& request,
                                                   const TransferOptions& options,
                                                   Clock::time_point called,
                                                   const std::string& why) {
  TransferImpl::Start start;
  start.called = called;
  start.report.blocks = static_cast<std::uint32_t>(request.remote_ids.size());
  start.job.direction = request.direction;
  start.ending.notify_completion = options.notify_completion;
  start.ending.tag = options.tag;
  const auto transfer = make_transfer(std::move(start), options.deadline);
  launch(transfer, [&] { transfer->begin_late(why); });
  return transfer;
}

std::shared_ptr<PreparedImpl> PeerImpl::prepare(const Request& request, const Pool& local,
                                                const TransferOptions& options) {
  const auto& remote =
      remote_pool(options.remote_pool.empty() ? local.name() : options.remote_pool);
  check_allowed(remote, request.direction, options);
  const OpenedRoute opened = route_for(local.state(), remote, options, kNever);
  plan::Plan plan;
  plan_request(request, *opened.route, options.layers, plan);
  PreparedImpl::Setup setup;
  setup.peer = shared_from_this();
  setup.route = opened.route;
  setup.start = start_of(remote, request.direction, options, opened, plan);
  setup.copy = opened.route->prepare(std::move(plan), setup.start.job);
  setup.deadline = options.deadline;
  return std::make_shared<PreparedImpl>(std::move(setup));
}

std::shared_ptr<TransferImpl> PeerImpl::start(const PreparedImpl& prepared) {
  TransferImpl::Start start = prepared.setup().start;
  start.called = Clock::now();
  const auto route = prepared.route();
  const auto transfer = make_transfer(std::move(start), prepared.setup().deadline);
  launch(transfer, [&] { transfer->begin(route, prepared.copy()); });
  return transfer;
}

void PeerImpl::capture(const std::shared_ptr<PreparedImpl>& prepared, CudaStream stream) {
  {
    std::lock_guard lock(mutex_);
    if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
    std::erase_if(captured_,
                  [&](const auto& weak) { return weak.expired() || weak.lock() == prepared; });
    captured_.push_back(prepared);
  }
  prepared->capture(stream);
  // A route that was dropped meanwhile was dropped without it.
  bool current = false;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, opened] : routes_) current |= prepared->keeps(opened.route.get());
  }
  if (!current) prepared->retire(alive() ? ErrorCode::refused : ErrorCode::unreachable);
}

void PeerImpl::retire_captured(const path::Route* route, ErrorCode why) noexcept {
  std::vector<std::shared_ptr<PreparedImpl>> captured;
  {
    std::lock_guard lock(mutex_);
    for (const auto& weak : captured_)
      if (auto prepared = weak.lock()) captured.push_back(std::move(prepared));
  }
  for (const auto& prepared : captured)
    if (prepared->keeps(route)) prepared->retire(why);
}

template <typename Begin>
void PeerImpl::launch(const std::shared_ptr<TransferImpl>& transfer, Begin begin) {
  const auto node = this->node();
  node->ended().make_room(*this);
  {
    std::lock_guard lock(mutex_);
    if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
    running_.insert(transfer);
  }
  node->transfer_began();
  try {
    begin();
  } catch (...) {
    forget(*transfer);
    throw;
  }
  if (transfer->ending().deadline) arm(transfer->ending().deadline, transfer);
}

void PeerImpl::forget(TransferImpl& transfer) {
  {
    std::lock_guard lock(mutex_);
    running_.erase(transfer.shared_from_this());
    idle_.notify_all();
  }
  if (const auto node = node_.lock()) node->transfer_over();
}

// Runs on whichever thread noticed the end, the one that watches a GPU included: everything that
// may block or call CUDA is left to the I/O thread.
void PeerImpl::ended(TransferImpl& transfer, std::shared_ptr<path::Route> route) {
  // Holds the node until the last line: shutdown() goes on once the transfer is forgotten.
  const auto node = node_.lock();
  const TransferImpl::Ending& ending = transfer.ending();
  const TransferState state = transfer.state();
  if (node && ending.notify_completion)
    node->events().push(Completion{ending.tag, state, Transfer(transfer.shared_from_this())});
  if (node)
    node->ended().add({shared_from_this(), transfer.shared_from_this(), std::move(route)},
                      ending.served.notice.has_value());
  forget(transfer);
}

void PeerImpl::say_last_words(const TransferImpl& transfer) {
  const TransferImpl::Ending& ending = transfer.ending();
  if (ending.deadline) ending.deadline->end();
  if (transfer.state() != TransferState::done) return;
  wire::Served served = ending.served;
  served.seconds = transfer.report().total_s;
  say(served);
}

bool PeerImpl::look_whether_slow() noexcept {
  // Some 10,000 last words; a channel is given up at 16 times as much.
  constexpr std::size_t kMostQueuedBytes = 1u << 20;
  const bool slow = channel_ && channel_->queued_bytes() > kMostQueuedBytes;
  slow_.store(slow, std::memory_order_relaxed);
  return slow;
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
  Running running{recycler_};
  std::map<RouteKey, OpenedRoute> routes;
  std::string why;
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    if (alive_) end_reason_ = fmt::format("the connection to {} was closed here", name_);
    why = end_reason_;
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
  for (const auto& [key, opened] : routes)
    retire_captured(opened.route.get(), ErrorCode::cancelled);
  routes.clear();
  const auto node = node_.lock();
  if (!node) return;
  close_links(why);
  // Behind the Unmapped messages of the routes, so that the owner hears them first.
  asio::post(node->io(), [node, self = shared_from_this()] {
    node->ended().drain();
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
