#pragma once

#include <asio/awaitable.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/recycling_allocator.hpp"
#include "kvferry/node.hpp"
#include "node/deadline_timer.hpp"
#include "node/node_fwd.hpp"
#include "node/prepared_impl.hpp"
#include "node/transfer_impl.hpp"
#include "path/path.hpp"
#include "path/ucx/engine.hpp"
#include "session/channel.hpp"
#include "session/data_sessions.hpp"
#include "session/data_stream.hpp"
#include "session/identity.hpp"
#include "wire/messages.hpp"

namespace kvferry::detail {

// One connected node: its pools, the routes to them, and the transfers under way.
//
// Both ends are alike: either may open the other's pools and start transfers. Public calls come
// from any thread but the node's own; on_* and serve() run on the node's I/O thread.
class PeerImpl final : public TransferImpl::Owner, public std::enable_shared_from_this<PeerImpl> {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kNever = Clock::time_point::max();

  PeerImpl(const std::shared_ptr<NodeImpl>& node, std::uint64_t number,
           std::shared_ptr<session::Channel> channel, session::Caller who, wire::Hello theirs);

  std::uint64_t number() const noexcept { return number_; }
  const std::string& name() const noexcept { return name_; }
  const std::string& software() const noexcept { return theirs_.software; }
  bool alive() const;
  std::vector<RemotePool> pools() const;

  struct Request {
    Direction direction = Direction::pull;
    std::span<const std::uint32_t> remote_ids, local_ids;
  };
  std::shared_ptr<TransferImpl> start(const Request& request, const Pool& local,
                                      const TransferOptions& options);
  std::shared_ptr<PreparedImpl> prepare(const Request& request, const Pool& local,
                                        const TransferOptions& options);
  std::shared_ptr<TransferImpl> start(const PreparedImpl& prepared);
  void capture(const std::shared_ptr<PreparedImpl>& prepared, CudaStream stream);
  void prepare(const Pool& local, const TransferOptions& options);
  std::vector<PairExplanation> explain();
  // Ends transfers, unmaps, says goodbye. Blocks until nothing moves.
  void close() noexcept;

  // Queues a message; none once the connection is over. I/O thread.
  void say(const wire::Message& message, std::vector<UniqueFd> fds = {});
  // Of a transfer that has ended, for EndedTransfers. I/O thread.
  void say_last_words(const TransferImpl& transfer);
  // Whether so much waits to be sent to it that who posts should, too. Any thread; what it says is
  // looked up on the I/O thread.
  bool is_slow() const noexcept { return slow_.load(std::memory_order_relaxed); }
  bool look_whether_slow() noexcept;
  // Reads messages until the connection ends.
  asio::awaitable<void> serve();
  // The node is going, and its I/O context with it: lets go of the channel. The I/O thread has
  // ended.
  void abandon() noexcept { channel_.reset(); }
  // On another host, or at least not known to the kernel here: nothing of it can be mapped.
  bool is_over_network() const noexcept { return who_.over_network; }
  // What this peer may do with a pool of ours.
  bool may(Direction direction, std::string_view pool) const { return who_.may(direction, pool); }
  // Makes the links for data streams; before anything else.
  void make_links();
  void make_ucx_link();
  // Tells the peer how to open streams for data to us. I/O thread, as all that follows.
  void open_door();
  // How to open ours to it; nullopt: it said nothing, or nothing that we may use.
  const std::optional<wire::DataDoor>& data_door() const noexcept { return door_; }
  const std::string& why_no_data_door() const noexcept { return why_no_door_; }
  // Where its control connection goes to, as DataDialler takes it.
  session::Address network_address() const;
  // A stream for data that it has opened to us.
  void take_data(std::uint32_t stream, session::DataStream data);
  // Gives up a peer that is silent for too long although asked; runs as long as the connection.
  asio::awaitable<void> keep_asking();
  // Where it came from, as limits count; empty: this host, or we dialled it.
  const std::string& source() const noexcept { return who_.source; }
  bool owns(const session::Channel* channel) const noexcept { return channel_.get() == channel; }
  // Forgets routes that use a pool of ours; they are gone once their transfers are.
  void drop_routes_of(const PoolImpl* local);

 private:
  struct RouteKey {
    const PoolImpl* local = nullptr;
    std::uint64_t local_generation = 0;
    std::uint32_t remote = 0;  // the owner's number
    std::string path;          // as asked for
    friend auto operator<=>(const RouteKey&, const RouteKey&) = default;
  };
  // A pool in the middle of being granted: the answer comes in one message or, with many fds,
  // several.
  struct PendingGrant {
    std::uint32_t pool = 0;  // that was asked for; a grant of another one is a lie
    std::promise<path::RemoteEnd> promise;
    std::optional<path::RemoteEnd> partial;
    std::size_t fds_expected = 0;
  };
  // What is known of a pool of ours that this peer was granted, also once the pool is gone: its
  // word on what it moved is measured by it.
  struct Granted {
    std::uint64_t generation = 1;
    std::uint64_t bytes_per_block = 1;  // of all layers
    std::uint32_t blocks = 0;
    bool pull = false, push = false;  // what it may do
    std::uint32_t open = 0;           // grants that it has not unmapped
  };
  // What one peer may hold at a time: a pool mapped once for each of its local pools is plenty, and
  // each grant costs descriptors.
  static constexpr std::uint32_t kMaxGrantsOut = 1024;
  struct OpenedRoute {
    std::shared_ptr<path::Route> route;
    std::string path;
  };
  std::shared_ptr<TransferImpl> start_late(const Request& request, const TransferOptions& options,
                                           Clock::time_point called, const std::string& why);
  void drop_routes(const std::function<bool(const RouteKey&)>& which);

  std::shared_ptr<NodeImpl> node() const;  // throws when the node is gone
  const wire::PoolInfo& remote_pool(const std::string& name) const;
  OpenedRoute route_for(const std::shared_ptr<PoolImpl>& local, const wire::PoolInfo& remote,
                        const TransferOptions& options, Clock::time_point until);
  OpenedRoute open_route(const std::shared_ptr<PoolImpl>& local, const wire::PoolInfo& remote,
                         const TransferOptions& options, std::uint64_t generation,
                         Clock::time_point until);
  // Waits no longer than `until`, or for a few seconds.
  path::RemoteEnd ask_for(const wire::PoolInfo& remote, Clock::time_point until);
  void give_back(std::uint32_t remote_pool);  // tells the owner that one grant is unmapped
  void check_allowed(const wire::PoolInfo& remote, Direction direction,
                     const TransferOptions& options) const;
  // Not begun.
  std::shared_ptr<TransferImpl> make_transfer(
      TransferImpl::Start start, const std::optional<std::chrono::nanoseconds>& deadline);
  // What is known before it starts.
  static TransferImpl::Start start_of(const wire::PoolInfo& remote, Direction direction,
                                      const TransferOptions& options, const OpenedRoute& opened,
                                      const plan::Plan& plan);
  // `begin` begins it.
  template <typename Begin>
  void launch(const std::shared_ptr<TransferImpl>& transfer, Begin begin);
  void ended(TransferImpl& transfer, std::shared_ptr<path::Route> route) override;
  void retire_captured(const path::Route* route, ErrorCode why) noexcept;
  void forget(TransferImpl& transfer);
  void arm(const std::shared_ptr<DeadlineTimer>& deadline,
           const std::shared_ptr<TransferImpl>& transfer);

  // Notes that the peer may say what it does with this pool.
  Granted& know_granted(std::uint32_t number, const PoolImpl& pool, std::uint64_t generation);
  void grant_begins(std::uint32_t number, const PoolImpl& pool, std::uint64_t generation);
  // False: none is open.
  bool grant_ends(std::uint32_t number) noexcept;
  std::string why_untrue(const wire::Served& message) const;
  void handle(session::Received received);
  void on(const wire::OpenPool& message);
  void on(const wire::PoolOpened& message);
  void say_grant(const wire::OpenPool& message, const PoolImpl& pool, std::uint64_t generation);
  void on_grant(wire::PoolGrant& message, std::vector<UniqueFd> fds);
  void on_more_fds(const wire::MoreFds& message, std::vector<UniqueFd> fds);
  void on(const wire::Denied& message);
  void on(const wire::Served& message);
  void on(const wire::Revoke& message);
  void on(const wire::Unmapped& message);
  void on(const wire::AskUcx& message);
  void on(const wire::OpenUcx& message);
  void on(wire::UcxAddress& message);
  void on(wire::UcxGrant& message);
  // Why this peer may not use UCX with us, nor we with it; empty: it may.
  std::string why_no_ucx() const;
  void grant_ucx(const wire::OpenUcx& message,
                 const std::shared_ptr<path::ucx::Registration>& registration);
  void close_ucx(const std::string& why);
  std::shared_ptr<path::ucx::PeerLink> ucx_link() const;
  bool ucx_denied(const wire::Denied& message);
  std::uint32_t draw_request();
  void on(wire::WantStreams& message);
  void on(wire::MoveRequest& message);
  void on(wire::MoveRuns& message);
  void on(wire::MoveCancel& message);
  void on(wire::MoveReady& message);
  void on(wire::MoveEnd& message);
  void close_links(const std::string& why) noexcept;
  // Why neither side could open data streams to the other; empty: one can. Waits no longer than
  // `until` for the peer to say where its door is. Any thread.
  std::string why_no_streams(Clock::time_point until) const;
  // As say(), but long lists wait until the channel has room, and what comes later waits for them.
  void say_in_turn(wire::Message message);
  void say_backlog();
  void drop_backlog() noexcept;
  void hear_first(std::function<void()> then);
  // A round of ours, for our requests; without one for the peer's.
  void open_streams(unsigned count, std::uint32_t epoch, std::optional<std::uint32_t> round);
  asio::awaitable<void> dial_streams(unsigned count, std::uint32_t epoch,
                                     std::optional<std::uint32_t> round);
  void on(const wire::DataDoor& message);
  void on(const wire::Ping& message);
  void settle_if_complete(std::uint32_t request);
  void connection_over(const std::string& reason);

  const std::weak_ptr<NodeImpl> node_;
  const std::uint64_t number_;
  // I/O thread only. Null once the connection is over: a Peer handle may outlive the node, a socket
  // must not.
  std::shared_ptr<session::Channel> channel_;
  std::atomic<bool> slow_{false};
  session::Caller who_;
  std::shared_ptr<const UniqueFd> pidfd_;
  const wire::Hello theirs_;
  const std::string name_;

  std::timed_mutex opening_;  // one route is opened at a time; taken before mutex_
  mutable std::mutex mutex_;
  bool alive_ = true;
  bool closing_ = false;
  std::string end_reason_;
  bool has_door_ = false, refused_door_ = false, listens_here_ = false;
  mutable std::condition_variable door_known_;
  bool said_goodbye_ = false;
  std::set<std::uint32_t> revoked_;  // remote pools
  std::map<RouteKey, OpenedRoute> routes_;
  RecyclingAllocator<std::byte> recycler_;  // what a transfer needs
  using Running = std::set<std::shared_ptr<TransferImpl>, std::less<>,
                           RecyclingAllocator<std::shared_ptr<TransferImpl>>>;
  Running running_{recycler_};
  std::vector<std::weak_ptr<PreparedImpl>> captured_;  // into CUDA graphs
  std::condition_variable idle_;                       // running_ has become empty
  std::uint32_t next_request_ = 1;
  // Pools of ours it was ever granted, by number; I/O thread only.
  std::map<std::uint32_t, Granted> granted_;
  std::uint32_t failed_grants_ = 0;  // I/O thread only
  std::uint32_t grants_out_ = 0;     // of all pools, not yet unmapped; I/O thread only
  std::uint32_t ucx_questions_ = 0;  // of the peer, not answered yet
  // I/O thread only: our session for its streams, and its door for ours.
  std::optional<session::DataSessions::Opened> session_;
  std::optional<wire::DataDoor> door_;
  std::string why_no_door_ = "the peer does not listen on TCP";  // written under mutex_, too
  std::string quiet_reason_;  // why it was given up, where we did that
  class StreamControl;
  struct Opening;
  std::shared_ptr<StreamControl> control_;
  // Data streams for our requests, and for the peer's.
  std::shared_ptr<path::tcp::DataLink> asking_, serving_;
  std::uint32_t next_stream_ = 0;           // of the peer's door; I/O thread only
  std::uint32_t dialling_ = 0;              // streams; I/O thread only
  std::uint32_t wanted_round_ = 0;          // the last that the peer dials; I/O thread only
  std::atomic<std::uint32_t> greeting_{0};  // streams that have not said what they are for
  std::deque<wire::Message> backlog_;       // I/O thread only
  std::size_t answers_waiting_ = 0;         // bytes of it; I/O thread only
  std::map<std::uint32_t, PendingGrant> pending_;
  class UcxLink;
  std::shared_ptr<UcxLink> ucx_;
  // Pools of ours that UCX serves to this peer, by number; I/O thread only.
  std::map<std::uint32_t, std::shared_ptr<path::ucx::Registration>> enrolled_;
};

RemotePool describe_pool(const wire::PoolInfo& info);
// "prefill-0 (pid 4711)", "prefill-0 (10.0.0.7:4711, token 'reader')"
std::string describe_peer(const wire::Hello& hello, const session::Caller& who);

}  // namespace kvferry::detail
