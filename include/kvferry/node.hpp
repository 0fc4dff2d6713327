#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvferry/copy_costs.hpp"
#include "kvferry/credentials.hpp"
#include "kvferry/export.hpp"
#include "kvferry/pool.hpp"
#include "kvferry/transfer.hpp"

namespace kvferry {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

// Something that happened at a node, for those who want to tell a person about it.
struct PeerEvent {
  enum class Kind : std::uint8_t { connected, refused, served, disconnected };
  Kind kind = Kind::connected;
  std::string peer;     // who: name, pid, address
  std::string message;  // refused: why, with the table; disconnected: how
  // Of a served transfer, as the peer reported it:
  Direction direction = Direction::pull;
  std::string pool, path;
  std::uint64_t blocks = 0, bytes = 0;
  double seconds = 0;
};

// How blocks move over networks (path tcp).
struct NetworkOptions {
  unsigned threads = 0;  // that move bytes through sockets; 0: a core each, at most 8
  unsigned streams = 0;  // of a transfer that names none; 0: half of `threads`, 2 to 4
  // TCP congestion control of data connections, of both ends where the other has no wish of its
  // own. Empty: the system's; on loopback, where bbr is slow, cubic or reno instead of it.
  std::string congestion{};
  std::uint64_t bytes_per_s = 0;  // at most, of all that this process sends; 0: no limit
};

// One-sided transfers by UCX (path ucx), which is loaded at run time where it is first needed.
struct UcxOptions {
  // What UCX may use, as UCX_TLS names it. Empty: RDMA alone. Naming others ("tcp", "shm", "all")
  // accepts that UCX carries out gets and puts in software, where it checks no keys: a peer that
  // was let in can then read and write any byte of this process. Both sides must name them.
  std::string transports{};
};

struct NodeOptions {
  std::string name{};         // shown to peers; empty: "pid N"
  unsigned copy_threads = 0;  // threads for copies in host memory; 0: as many as help
  // Called on the node's own thread, and log also on those that call it: return quickly, call
  // nothing of the node.
  std::function<void(LogLevel, std::string_view)> log{};
  std::function<void(const PeerEvent&)> on_event{};
  // Connected at once. Of more than 16, one address of another host may have half.
  std::uint32_t max_peers = 256;
  // When a kernel copies and when the copy engine does; not used by other paths.
  CopyCosts copy_costs{};
  // For peers on other hosts, whether they connect or are connected to. Loaded by Node's
  // constructor.
  Credentials credentials{};
  // A peer on another host that says nothing for so long, although asked, is given up. At least a
  // second.
  std::chrono::milliseconds peer_silence = std::chrono::seconds(15);
  NetworkOptions network{};
  UcxOptions ucx{};
  // Notices that wait for next_notice(), of all peers; beyond, they are dropped, which the log
  // says. 0: nobody reads them, and none is kept.
  std::uint32_t max_notices = 65'536;
};

struct ListenOptions {
  std::string ip = "127.0.0.1";
  std::uint16_t port = 5555;  // 0: any free one, see Node::port()
  bool tcp = true;
  // Path of the Unix socket local peers meet on. Required. Created with mode 0600, and whoever
  // connects must run as this process's user; a directory of our own keeps others from taking the
  // name.
  std::string socket_path{};
  // Peers of other hosts are let in by NodeOptions::credentials; this is the caller's explicit word
  // for letting in anyone who reaches the port, unencrypted. An address beyond loopback needs one
  // or the other.
  bool insecure = false;
  std::vector<Permission> permissions{};  // empty: every credential may do everything
};

struct ConnectOptions {
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
  // Connect to a peer on another host that demands no credential, unencrypted: whoever is on the
  // way can read and change every block.
  bool insecure = false;
  // The name or address that the server's certificate must be for; empty: what `address` says.
  std::string server_name{};
};

// A transfer with notify_completion has ended.
struct Completion {
  std::uint64_t tag = 0;
  TransferState state = TransferState::running;
  Transfer transfer;
};

// A peer's transfer that touched our pool has landed, and the peer wanted us to know.
struct Notice {
  std::string peer, pool, text, path;
  Direction direction = Direction::pull;
  std::uint64_t blocks = 0, bytes = 0;
};

struct RemotePool {
  std::string name, tag;
  CacheShape shape;
  std::uint32_t blocks = 0;
  bool writable = false;
  std::uint64_t generation = 0;
  std::string device;  // "host", "cuda GPU-<uuid>"
};

// What a node is, serves and has done, at the moment.
struct NodeStatus {
  std::string name;                    // NodeOptions::name
  std::vector<std::string> addresses;  // listened on: "0.0.0.0:5555", "unix:/run/user/0/a.sock"
  std::vector<RemotePool> pools;       // served, as peers are told of them
  std::uint32_t peers = 0;             // connected, whoever called
  std::uint32_t max_peers = 0;
  std::uint64_t served_transfers = 0, served_bytes = 0;  // as peers reported them
};

// How one path would serve a pair of pools.
struct PathVerdict {
  std::string path;
  bool usable = false;
  bool slow = false;   // slower than what this hardware offers: needs allow_slow
  std::string reason;  // what it does, or why it cannot
};
struct PairExplanation {
  std::string local_pool, remote_pool;
  std::string chosen;                 // the path transfers take; empty: none
  std::vector<PathVerdict> verdicts;  // best first
};

namespace detail {
class NodeImpl;
class PeerImpl;
class PreparedImpl;
}  // namespace detail

// A pull or push whose ids were checked and laid out once, to be posted many times: posting then
// costs little more than the launch, whatever the number of ids. A handle; thread-safe. It holds
// its Peer, but does not keep the pools mapped: once one of them is revoked, or the connection has
// ended, posting is refused.
class KVFERRY_API PreparedTransfer {
 public:
  // As the pull or push it was prepared from, with its options; a deadline counts from here. Posts
  // of one PreparedTransfer must not overlap: they write the same blocks. Throws: Error{refused}
  // (no longer mapped), Error{unreachable}, Error{resource}.
  Transfer post() const;
  // Adds the copy to a stream of the local pool's GPU that is being captured into a CUDA graph.
  // Each launch of the graph then moves the blocks, with no call to us: without a Transfer, a
  // deadline, a notice or a line at the owner's. Launches of it must not overlap. Once the peer or
  // a pool goes, or this handle's last copy (destroy the graph before), the captured copy does
  // nothing and status_word() says why. Throws: Error{invalid_argument} (host memory, a stream that
  // is not being captured, or a copy that fell to the copy engine: prepare with copy = kernel),
  // Error{refused}.
  void capture(CudaStream stream) const;
  // A 32-bit word readable by the host and the local GPU: 0 while captured copies copy, an
  // ErrorCode once they do not. nullptr before the first capture.
  const volatile std::uint32_t* status_word() const noexcept;

  explicit PreparedTransfer(std::shared_ptr<detail::PreparedImpl> state) noexcept
      : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::PreparedImpl> state_;
};

// A connected node. A handle; thread-safe.
class KVFERRY_API Peer {
 public:
  std::string name() const;  // "prefill-0 (pid 4711)"
  std::vector<RemotePool> pools() const;
  bool alive() const noexcept;

  // remote_ids[i] -> local_ids[i], every layer of the range. Returns when posted.
  // Throws: Error{invalid_argument} (lengths differ, an id out of range, a target id twice, source
  // and target overlap), Error{refused} (no such pool, geometry, no path, only a slow one),
  // Error{unreachable}, Error{resource}. Nothing was written then.
  Transfer pull(const Pool& local, std::span<const std::uint32_t> remote_ids,
                std::span<const std::uint32_t> local_ids,
                const TransferOptions& options = {}) const;
  // local_ids[i] -> remote_ids[i]. Throws: as pull, and Error{refused} unless the owner made the
  // pool writable.
  Transfer push(const Pool& local, std::span<const std::uint32_t> remote_ids,
                std::span<const std::uint32_t> local_ids,
                const TransferOptions& options = {}) const;
  // The same, checked and laid out for many posts. Throws: as pull and push; for options that only
  // show when copying begins, post() does.
  PreparedTransfer prepare_pull(const Pool& local, std::span<const std::uint32_t> remote_ids,
                                std::span<const std::uint32_t> local_ids,
                                const TransferOptions& options = {}) const;
  PreparedTransfer prepare_push(const Pool& local, std::span<const std::uint32_t> remote_ids,
                                std::span<const std::uint32_t> local_ids,
                                const TransferOptions& options = {}) const;
  // Maps the remote pool for use with this local one now rather than at the first transfer.
  // Throws: as pull.
  void prepare(const Pool& local, const TransferOptions& options = {}) const;
  // For every local pool and the remote pool of its name: the path, and for each faster one why
  // not.
  std::vector<PairExplanation> explain() const;
  // Ends the connection; running transfers end as cancelled first.
  void close() const noexcept;

  explicit Peer(std::shared_ptr<detail::PeerImpl> state) noexcept : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::PeerImpl> state_;
};

// One process's end: serves pools to peers and connects to peers. Owns one I/O thread and the copy
// threads. Thread-safe. Its destructor closes every peer and returns when nothing of ours moves any
// more; it does not wait for peers that have a pool of ours mapped: revoke a pool before the node
// goes if its memory is to be freed. No other thread may call the node or its peers meanwhile.
class KVFERRY_API Node {
 public:
  explicit Node(const NodeOptions& options = {});
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Serves a pool to peers that connect from now on, and makes it usable in transfers.
  // Throws: Error{invalid_argument} when a pool of that name is there already.
  void add(const Pool& pool);
  // Throws: Error{resource} (port or socket in use), Error{refused} (beyond loopback without
  // credentials or insecure), Error{invalid_argument}.
  void listen(const ListenOptions& options);
  // The port actually listened on; 0 when not listening on TCP.
  std::uint16_t port() const noexcept;
  // "host:port", "[v6]:port" or "unix:/path". Geometry of pools with the same name must agree.
  // Throws: Error{unreachable}, Error{refused} (with the table of differing fields),
  // Error{deadline} after `timeout`.
  Peer connect(std::string_view address,
               std::chrono::milliseconds timeout = std::chrono::seconds(5));
  // Throws: also Error{refused} where either side's credential does not satisfy the other, or one
  // of them has none.
  Peer connect(std::string_view address, const ConnectOptions& options);
  std::vector<Peer> peers() const;
  NodeStatus status() const;

  // Readable (poll, epoll) while a completion or notice waits; owned by the node. Reads nothing
  // from it yourself.
  int event_fd() const noexcept;
  std::optional<Completion> next_completion();
  std::optional<Notice> next_notice();

 private:
  std::shared_ptr<detail::NodeImpl> state_;
};

}  // namespace kvferry
