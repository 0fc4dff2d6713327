#pragma once

#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kvferry/node.hpp"
#include "node/ended_transfers.hpp"
#include "node/event_queue.hpp"
#include "node/holds.hpp"
#include "node/node_fwd.hpp"
#include "path/path.hpp"
#include "path/tcp/net_threads.hpp"
#include "path/tcp/rate_limit.hpp"
#include "path/tcp/staging.hpp"
#include "path/ucx/engine.hpp"
#include "session/attempts.hpp"
#include "session/channel.hpp"
#include "session/data_sessions.hpp"
#include "session/data_stream.hpp"
#include "session/listener.hpp"
#include "wire/messages.hpp"

namespace kvferry::detail {

// One process's end. Owns the I/O thread, the paths, what is served and who is connected.
class NodeImpl : public std::enable_shared_from_this<NodeImpl> {
 public:
  using Clock = std::chrono::steady_clock;

  explicit NodeImpl(NodeOptions options);
  ~NodeImpl();
  // Starts the I/O thread; separate from the constructor because callbacks need shared_from_this().
  void start();
  // Closes everything and returns when nothing moves and the thread is gone.
  void shutdown() noexcept;

  void add(const Pool& pool);
  void listen(const ListenOptions& options);
  std::uint16_t port() const noexcept { return port_; }
  std::shared_ptr<PeerImpl> connect(std::string_view address, const ConnectOptions& options);
  std::vector<std::shared_ptr<PeerImpl>> peers() const;
  NodeStatus status() const;
  EventQueue& events() noexcept { return events_; }
  EndedTransfers& ended() noexcept { return *ended_; }

  // For peers:
  asio::io_context& io() noexcept { return *io_; }
  const std::vector<std::unique_ptr<path::Path>>& paths() const noexcept { return paths_; }
  Holds& holds() noexcept { return holds_; }
  const NetworkOptions& network() const noexcept { return options_.network; }
  const std::shared_ptr<path::tcp::NetThreads>& net_threads() noexcept { return net_threads_; }
  const std::shared_ptr<path::tcp::StagePools>& stages() noexcept { return stages_; }
  // Of all that this process sends; null: none.
  const std::shared_ptr<path::tcp::RateLimit>& rate_limit() noexcept { return rate_limit_; }
  const std::shared_ptr<path::ucx::Engine>& ucx() const noexcept { return ucx_; }
  struct ServedPool {
    std::shared_ptr<PoolImpl> pool;  // null: none, or revoked
    std::uint64_t generation = 1;
  };
  ServedPool served_pool(std::uint32_t number) const;
  // The pool that had this number, also while it is being revoked; null once nothing holds it.
  std::shared_ptr<PoolImpl> pool_of(std::uint32_t number) const;
  std::vector<std::shared_ptr<PoolImpl>> served_pools() const;
  // Makes revoke() of a pool that is used locally wait for this node's routes too.
  void watch(const std::shared_ptr<PoolImpl>& pool);
  // What that caller may know of us.
  wire::Hello hello(const session::Caller& who) const;
  // Streams for data: who may open them to us, and how we open ours. I/O thread.
  const std::shared_ptr<session::DataSessions>& data_sessions() noexcept { return data_sessions_; }
  session::DataDialler& data_dialler() noexcept { return data_dialler_; }
  // How peers open theirs to us; nullopt: not listening on TCP. I/O thread.
  std::optional<wire::DataDoor> data_door(const session::DataSessions::Opened& opened) const;
  bool takes_plain_data() const noexcept { return tls_ == nullptr || tls_->plain_data(); }
  std::chrono::milliseconds peer_silence() const noexcept { return options_.peer_silence; }
  void peer_ended(const std::shared_ptr<PeerImpl>& peer);
  void log(LogLevel level, std::string_view text) const;
  void tell(const PeerEvent& event) const;
  void deliver(Notice notice);
  // Transfers of every peer, those that have died included: shutdown() waits for the last words of
  // each.
  void transfer_began();
  void transfer_over();

 private:
  struct Served {
    std::uint32_t number = 0;
    std::shared_ptr<PoolImpl> pool;
    std::uint64_t generation = 1;  // of the pool when it was added: what peers were told
    bool revoked = false;          // no longer granted; kept until nobody holds it
  };
  struct Watched {
    std::weak_ptr<PoolImpl> pool;
    std::uint64_t revoker = 0;
  };

  void accept(std::shared_ptr<session::Channel> channel, session::Caller who,
              std::optional<session::Received> first);
  asio::awaitable<void> meet(std::shared_ptr<session::Channel> channel, session::Caller who,
                             std::optional<session::Received> first);
  asio::awaitable<std::shared_ptr<PeerImpl>> reach(std::string address, Clock::time_point until,
                                                   ConnectOptions options);
  void take_data(std::uint64_t peer, std::uint32_t stream, session::DataStream data);
  // Adds the peer and begins to read from it; false while the node is shutting down.
  bool admit(const std::shared_ptr<PeerImpl>& peer);
  void remember(const std::shared_ptr<session::Channel>& channel);
  void say_refused(session::Channel& channel, const std::string& who, const wire::Refusal& refusal);
  void note_failed_handshake(const session::Caller& caller, const std::string& text);
  // Throws: Error{resource} where it is one peer too many.
  void require_place(const session::Caller& caller) const;
  void revoke(const std::shared_ptr<PoolImpl>& pool, std::chrono::milliseconds timeout);

  const NodeOptions options_;
  EventQueue events_;
  Holds holds_;
  std::vector<std::unique_ptr<path::Path>> paths_;
  std::shared_ptr<path::tcp::NetThreads> net_threads_;
  std::shared_ptr<path::tcp::StagePools> stages_;
  std::shared_ptr<path::tcp::RateLimit> rate_limit_;
  std::shared_ptr<path::ucx::Engine> ucx_;
  // After the paths: handlers left in it may hold routes, and go first.
  std::unique_ptr<asio::io_context> io_;
  const std::shared_ptr<EndedTransfers> ended_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::condition_variable peers_changed_;  // or transfers_
  bool closing_ = false;
  std::uint32_t next_pool_ = 1;
  std::uint64_t next_peer_ = 1;
  std::size_t dropped_notices_ = 0;  // I/O thread only
  std::size_t transfers_ = 0;
  std::vector<Served> served_;
  std::vector<Watched> watched_;
  std::vector<std::shared_ptr<PeerImpl>> peers_;
  std::vector<std::weak_ptr<session::Channel>> handshakes_;
  session::Attempts failed_handshakes_;             // I/O thread only
  std::shared_ptr<const session::TlsContext> tls_;  // null: no credential
  std::shared_ptr<session::DataSessions> data_sessions_ = std::make_shared<session::DataSessions>();
  session::DataDialler data_dialler_;
  std::unique_ptr<session::Listener> listener_;
  std::uint16_t port_ = 0;
  std::vector<std::string> listening_;
  mutable std::atomic<std::uint64_t> served_transfers_{0}, served_bytes_{0};
};

}  // namespace kvferry::detail
