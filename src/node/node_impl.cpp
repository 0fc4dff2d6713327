#include "node/node_impl.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/use_future.hpp>
#include <filesystem>
#include <future>

#include "base/time_after.hpp"
#include "node/peer_impl.hpp"
#include "path/tcp/wire_socket.hpp"
#include "session/address.hpp"

namespace kvferry::detail {
namespace {

// A time to wait is reckoned from them.
void check_costs(const CopyCosts& c) {
  for (const CopyCost& cost :
       {c.peer_engine, c.peer_kernel, c.same_gpu_flat_engine, c.same_gpu_engine, c.same_gpu_kernel,
        c.from_host_engine, c.from_host_kernel, c.to_host_engine, c.to_host_kernel}) {
    const bool times =
        cost.start_us >= 0 && cost.start_us < 1e6 && cost.gap_us >= 0 && cost.gap_us < 1e6;
    if (times && cost.gb_per_s >= 1e-3 && cost.gb_per_s < 1e9) continue;
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("NodeOptions::copy_costs has start_us {}, gb_per_s {}, gap_us {}: times "
                    "are 0 to 10^6 us, rates 0.001 to 10^9 GB/s",
                    cost.start_us, cost.gb_per_s, cost.gap_us));
  }
}

}  // namespace

NodeImpl::NodeImpl(NodeOptions options)
    : options_(std::move(options)),
      events_(options_.max_notices),
      paths_(path::make_paths(options_.copy_threads, options_.copy_costs)),
      net_threads_(std::make_shared<path::tcp::NetThreads>(options_.network.threads)),
      stages_(path::tcp::make_stage_pools(net_threads_)),
      ucx_(path::ucx::make_engine(options_.ucx)),
      io_(std::make_unique<asio::io_context>(1)),
      ended_(std::make_shared<EndedTransfers>(*io_)) {
  if (!options_.name.empty() && !wire::is_name(options_.name))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("NodeOptions::name '{}': a name has 1 to 64 of [A-Za-z0-9._-]",
                            options_.name.substr(0, 100)));
  check_costs(options_.copy_costs);
  if (options_.network.streams > wire::kMaxStreams)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("NetworkOptions::streams is {}; at most {}", options_.network.streams,
                            wire::kMaxStreams));
  path::tcp::check_congestion(options_.network.congestion);
  if (options_.network.bytes_per_s != 0)
    rate_limit_ = std::make_shared<path::tcp::RateLimit>(options_.network.bytes_per_s);
  if (options_.peer_silence < std::chrono::seconds(1))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("NodeOptions::peer_silence is {} ms; at least a second",
                            options_.peer_silence.count()));
  tls_ = session::TlsContext::load(
      options_.credentials, [this](const std::string& text) { log(LogLevel::warning, text); });
}

NodeImpl::~NodeImpl() = default;

void NodeImpl::start() {
  work_.emplace(io_->get_executor());
  thread_ = std::thread([this] { io_->run(); });
}

void NodeImpl::add(const Pool& pool) {
  {
    std::lock_guard lock(mutex_);
    for (const Served& served : served_)
      if (!served.revoked && served.pool->options.name == pool.name())
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("pool '{}': this node serves one of that name already; give "
                                "PoolOptions::name another one",
                                pool.name()));
    if (served_.size() >= wire::kMaxPools)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("a node serves at most {} pools", wire::kMaxPools));
    served_.push_back({next_pool_++, pool.state(), pool.generation(), false});
  }
  try {
    // Peers are greeted with the list of pools: one that does not fit is refused here, not there.
    wire::encode(hello(session::Caller{}));
  } catch (const Error&) {
    std::lock_guard lock(mutex_);
    served_.pop_back();
    throw;
  }
  watch(pool.state());
}

void NodeImpl::watch(const std::shared_ptr<PoolImpl>& pool) {
  std::lock_guard lock(mutex_);
  std::erase_if(watched_, [](const Watched& w) { return w.pool.expired(); });
  for (const Watched& watched : watched_)
    if (watched.pool.lock() == pool) return;
  const auto revoker = [weak = weak_from_this(),
                        weak_pool = std::weak_ptr(pool)](std::chrono::milliseconds timeout) {
    const auto node = weak.lock();
    const auto revoked = weak_pool.lock();
    if (node && revoked) node->revoke(revoked, timeout);
  };
  watched_.push_back({pool, pool->add_revoker(revoker)});
}

void NodeImpl::revoke(const std::shared_ptr<PoolImpl>& pool, std::chrono::milliseconds timeout) {
  const auto until = time_after(Clock::now(), timeout);
  std::vector<wire::Revoke> messages;
  {
    std::lock_guard lock(mutex_);
    for (Served& served : served_) {
      if (served.pool != pool) continue;
      served.revoked = true;
      messages.push_back({served.number, served.generation});
    }
    std::erase_if(watched_, [&](const Watched& w) { return w.pool.lock() == pool; });
  }
  for (const auto& peer : peers()) {
    peer->drop_routes_of(pool.get());
    asio::post(*io_, [this, peer, messages] {
      ended_->drain();  // what has ended may hold a route
      for (const auto& message : messages) peer->say(message);
    });
  }
  std::string who;
  const bool free = holds_.wait_until_free(pool.get(), until, &who);
  // Also where somebody holds on to it: a card then refuses its peers, whatever they still post.
  ucx_->forget(pool.get());
  if (!free) throw Error(ErrorCode::deadline, who);
  std::lock_guard lock(mutex_);
  std::erase_if(served_, [&](const Served& s) { return s.pool == pool; });
}

void NodeImpl::listen(const ListenOptions& options) {
  // On the I/O thread, so that accepting begins where it goes on.
  std::promise<std::uint16_t> bound;
  asio::post(*io_, [&] {
    std::exception_ptr failed;
    try {
      if (listener_) throw Error(ErrorCode::invalid_argument, "this node is listening already");
      session::Listener::Setup setup;
      setup.options = options;
      setup.tls = tls_;
      setup.sessions = data_sessions_;
      setup.on_control = [this](auto channel, auto who, auto first) {
        accept(std::move(channel), std::move(who), std::move(first));
      };
      setup.on_data = [this](std::uint64_t peer, std::uint32_t stream, session::DataStream data) {
        take_data(peer, stream, std::move(data));
      };
      setup.log = [this](LogLevel level, const std::string& text) { log(level, text); };
      listener_ = std::make_unique<session::Listener>(*io_, std::move(setup));
      if (options.tcp && options.insecure)
        log(LogLevel::warning,
            fmt::format("insecure: anyone who reaches {} port {} may read the pools served here, "
                        "write those that are writable, and see and change every byte on the way",
                        options.ip, listener_->port()));
      return bound.set_value(listener_->port());
    } catch (...) {
      failed = std::current_exception();
    }
    bound.set_exception(std::move(failed));
  });
  port_ = bound.get_future().get();
  std::lock_guard lock(mutex_);
  if (options.tcp) listening_.push_back(session::Address{false, {}, options.ip, port_}.to_string());
  listening_.push_back("unix:" + std::filesystem::absolute(options.socket_path).string());
}

std::shared_ptr<PeerImpl> NodeImpl::connect(std::string_view address,
                                            const ConnectOptions& options) {
  return asio::co_spawn(
             *io_, reach(std::string(address), time_after(Clock::now(), options.timeout), options),
             asio::use_future)
      .get();
}

std::vector<std::shared_ptr<PeerImpl>> NodeImpl::peers() const {
  std::lock_guard lock(mutex_);
  return peers_;
}

std::optional<wire::DataDoor> NodeImpl::data_door(
    const session::DataSessions::Opened& opened) const {
  if (!listener_ || listener_->port() == 0) return std::nullopt;
  return wire::DataDoor{opened.session, opened.secret, listener_->ip(), listener_->port(),
                        !takes_plain_data()};
}

// A stream for data that a peer has opened to us and proved to be its own.
void NodeImpl::take_data(std::uint64_t number, std::uint32_t stream, session::DataStream data) {
  for (const auto& peer : peers())
    if (peer->number() == number) return peer->take_data(stream, std::move(data));
}

NodeImpl::ServedPool NodeImpl::served_pool(std::uint32_t number) const {
  std::lock_guard lock(mutex_);
  for (const Served& served : served_)
    if (served.number == number && !served.revoked) return {served.pool, served.generation};
  return {};
}

std::shared_ptr<PoolImpl> NodeImpl::pool_of(std::uint32_t number) const {
  std::lock_guard lock(mutex_);
  for (const Served& served : served_)
    if (served.number == number) return served.pool;
  return nullptr;
}

std::vector<std::shared_ptr<PoolImpl>> NodeImpl::served_pools() const {
  std::vector<std::shared_ptr<PoolImpl>> pools;
  std::lock_guard lock(mutex_);
  for (const Served& served : served_)
    if (!served.revoked) pools.push_back(served.pool);
  return pools;
}

NodeStatus NodeImpl::status() const {
  NodeStatus status;
  status.name = options_.name;
  status.max_peers = options_.max_peers;
  status.served_transfers = served_transfers_;
  status.served_bytes = served_bytes_;
  for (const wire::PoolInfo& pool : hello(session::Caller{}).pools)
    status.pools.push_back(describe_pool(pool));
  std::lock_guard lock(mutex_);
  status.addresses = listening_;
  status.peers = static_cast<std::uint32_t>(peers_.size());
  return status;
}

void NodeImpl::peer_ended(const std::shared_ptr<PeerImpl>& peer) {
  std::lock_guard lock(mutex_);
  std::erase(peers_, peer);
  peers_changed_.notify_all();
}

void NodeImpl::transfer_began() {
  std::lock_guard lock(mutex_);
  ++transfers_;
}

void NodeImpl::transfer_over() {
  std::lock_guard lock(mutex_);
  --transfers_;
  peers_changed_.notify_all();
}

void NodeImpl::shutdown() noexcept {
  std::vector<Watched> watched;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    watched.swap(watched_);
  }
  for (const Watched& w : watched)
    if (const auto pool = w.pool.lock()) pool->remove_revoker(w.revoker);
  asio::post(*io_, [this] {
    listener_.reset();
    for (const auto& weak : handshakes_)
      if (const auto channel = weak.lock()) channel->close();
  });
  for (const auto& peer : peers()) peer->close();  // with a goodbye
  {
    // Transfers whose peer has died were aborted then, and end soon.
    std::unique_lock lock(mutex_);
    peers_changed_.wait(lock, [this] { return transfers_ == 0; });
    // Every peer says goodbye and reads its own end; one that does not read ours is cut off by
    // flush_and_close().
    peers_changed_.wait_for(lock, std::chrono::seconds(3), [this] { return peers_.empty(); });
  }
  net_threads_->stop();
  ucx_->stop();
  work_.reset();
  io_->stop();
  thread_.join();
  ended_->drain();
  // What was posted too late for the thread, here: routes are released in it, and what they post in
  // turn.
  io_->restart();
  while (io_->poll() > 0) {
  }
  // Sockets go before their context. The context stays as long as we do: a route that is released
  // late posts to it, in vain.
  listener_.reset();
  for (const auto& peer : peers_) peer->abandon();
  peers_.clear();
}

}  // namespace kvferry::detail
