// How two nodes meet: who is there, what do both have, do the geometries agree. Nothing is mapped
// here.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>

#include "kvferry/version.hpp"
#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"
#include "session/dial.hpp"
#include "session/identity.hpp"

namespace kvferry::detail {
namespace {

// A peer that connects and says nothing occupies a place no longer than this.
constexpr auto kHandshakeTimeout = std::chrono::seconds(5);

// Every field in which a pool of ours differs from the peer's pool of the same name.
std::vector<FieldDiff> compare_pools(const std::vector<wire::PoolInfo>& ours,
                                     const std::vector<wire::PoolInfo>& theirs) {
  std::vector<FieldDiff> fields;
  for (const auto& mine : ours) {
    for (const auto& yours : theirs) {
      if (mine.name != yours.name) continue;
      for (FieldDiff field : diff(mine.shape, yours.shape)) {
        if (ours.size() > 1) field.field = mine.name + "." + field.field;
        fields.push_back(std::move(field));
      }
    }
  }
  return fields;
}

[[noreturn]] void throw_refusal(const wire::Refusal& refusal, const std::string& who) {
  std::vector<FieldDiff> fields = refusal.fields;
  // The sender's "ours" is our "theirs".
  for (FieldDiff& field : fields) std::swap(field.ours, field.theirs);
  std::string text = fmt::format("{} refuses: {}", who, refusal.message);
  if (!fields.empty()) text += "\n" + format_table(fields);
  throw Error(refusal.code, text);
}

// A connection that ends here ends before the peer said anything.
const char* unanswered(const Error& error) {
  if (error.code() != ErrorCode::unreachable) return "";
  return "; it had not answered yet, so it may be another program than a kvferry server, or a "
         "server that is ending or refuses us (see what it says there)";
}

// On this host; who comes over the network has proved something else.
void require_same_user(const session::Caller& who) {
  if (who.over_network || who.uid == ::geteuid()) return;
  throw Error(ErrorCode::refused,
              fmt::format("uid: the process at the other end (pid {}) runs as uid {}, this one as "
                          "uid {}; both must run as the same user",
                          who.pid, who.uid, ::geteuid()));
}

wire::Refusal geometry_refusal(std::vector<FieldDiff> fields) {
  wire::Refusal refusal;
  refusal.code = ErrorCode::refused;
  refusal.message = "the cache geometries differ; start both sides with the same shape";
  refusal.fields = std::move(fields);
  return refusal;
}

// Closes a channel that does not finish its handshake in time.
class HandshakeTimer {
 public:
  HandshakeTimer(const std::shared_ptr<session::Channel>& channel,
                 std::chrono::steady_clock::time_point until)
      : timer_(channel->executor(), until) {
    timer_.async_wait([weak = std::weak_ptr(channel), late = late_](std::error_code stopped) {
      if (stopped || *late == State::disarmed) return;
      *late = State::late;
      if (const auto open = weak.lock()) open->close();
    });
  }
  ~HandshakeTimer() {
    if (*late_ == State::armed) *late_ = State::disarmed;
  }
  HandshakeTimer(const HandshakeTimer&) = delete;
  HandshakeTimer& operator=(const HandshakeTimer&) = delete;
  bool late() const noexcept { return *late_ == State::late; }

 private:
  enum class State { armed, disarmed, late };
  std::shared_ptr<State> late_ = std::make_shared<State>(State::armed);
  asio::steady_timer timer_;
};

}  // namespace

wire::Hello NodeImpl::hello(const session::Caller& who) const {
  wire::Hello hello;
  hello.software = version();
  hello.node = options_.name;
  hello.pid = static_cast<std::uint32_t>(::getpid());
  hello.nonce = session::process_nonce();
  hello.boot_id = session::boot_id();
  for (const auto& path : paths_) hello.paths.emplace_back(path->name());
  std::lock_guard lock(mutex_);
  for (const Served& served : served_) {
    if (served.revoked) continue;
    const PoolImpl& pool = *served.pool;
    if (!who.may_see(pool.options.name)) continue;
    wire::PoolInfo info;
    info.number = served.number;
    info.name = pool.options.name;
    info.tag = pool.options.tag;
    info.shape = pool.shape;
    info.blocks = pool.blocks;
    info.writable = pool.options.writable && who.rights.write;
    info.generation = served.generation;
    info.device = pool.device.kind;
    if (pool.device.is_cuda()) info.gpu = pool.regions.front()->gpu();
    info.shareable = pool.regions.front()->chunks().front().kind != memory::ChunkKind::host_private;
    if (pool.device.is_cuda() &&
        std::find(hello.gpus.begin(), hello.gpus.end(), info.gpu) == hello.gpus.end())
      hello.gpus.push_back(info.gpu);
    hello.pools.push_back(std::move(info));
  }
  return hello;
}

void NodeImpl::say_refused(session::Channel& channel, const std::string& who,
                           const wire::Refusal& refusal) {
  channel.send(refusal);
  PeerEvent event;
  event.kind = PeerEvent::Kind::refused;
  event.peer = who;
  event.message = refusal.message;
  if (!refusal.fields.empty()) event.message += "\n" + format_table(refusal.fields);
  tell(event);
}

// The acceptor's side: hear the other's Hello, then answer with ours or say why not.
asio::awaitable<void> NodeImpl::meet(std::shared_ptr<session::Channel> channel,
                                     session::Caller caller,
                                     std::optional<session::Received> first) {
  std::string who = caller.describe();
  std::optional<wire::Refusal> refusal;
  try {
    const HandshakeTimer timer(channel, Clock::now() + kHandshakeTimeout);
    require_same_user(caller);
    if (!first) first = co_await channel->receive();
    auto* theirs = std::get_if<wire::Hello>(&first->message);
    if (theirs == nullptr)
      throw Error(ErrorCode::refused, fmt::format("a {} message where a Hello was expected",
                                                  wire::name_of(first->message)));
    who = describe_peer(*theirs, caller);
    const wire::Hello ours = hello(caller);
    wire::agree_version(ours, *theirs);
    require_place(caller);
    auto fields = compare_pools(ours.pools, theirs->pools);
    if (fields.empty()) {
      channel->send(ours);
      channel->set_established();
      std::uint64_t number = 0;
      {
        std::lock_guard lock(mutex_);
        number = next_peer_++;
      }
      auto peer = std::make_shared<PeerImpl>(shared_from_this(), number, channel, std::move(caller),
                                             std::move(*theirs));
      if (!admit(peer)) channel->close();
      co_return;
    }
    refusal = geometry_refusal(std::move(fields));
  } catch (const Error& error) {
    note_failed_handshake(caller, fmt::format("handshake with {} failed: {}", who, error.what()));
    const bool full = error.code() == ErrorCode::resource;
    if (channel->is_open() && error.code() != ErrorCode::unreachable)
      refusal = wire::Refusal{full ? ErrorCode::resource : ErrorCode::refused, error.what(), {}};
  } catch (const std::exception& error) {
    // The timer or our own shutdown closed it.
    note_failed_handshake(caller, fmt::format("handshake with {} ended: {}", who, error.what()));
  }
  if (refusal && channel->is_open()) {
    say_refused(*channel, who, *refusal);
    co_await channel->flush_and_close();
  }
}

// The initiator's side.
asio::awaitable<std::shared_ptr<PeerImpl>> NodeImpl::reach(std::string text,
                                                           Clock::time_point until,
                                                           ConnectOptions options) {
  const session::Address address = session::parse_address(text);
  // Named: g++ 12 destroys an aggregate built within a co_await twice.
  session::DialOptions how;
  how.until = until;
  how.tls = tls_;
  how.insecure = options.insecure;
  how.server_name = options.server_name;
  session::Dialled dialled = co_await session::dial(address, how);
  const auto channel = std::move(dialled.channel);
  session::Caller caller = std::move(dialled.who);
  remember(channel);
  const std::string who = caller.over_network
                              ? address.to_string()
                              : fmt::format("{} (pid {})", address.to_string(), caller.pid);
  require_same_user(caller);
  const HandshakeTimer timer(channel, until);
  const wire::Hello ours = hello(caller);
  session::Received answer{wire::Goodbye{}, {}};
  std::string failure;
  try {
    channel->send(ours);
    answer = co_await channel->receive();
  } catch (const Error& error) {
    if (!timer.late())
      throw Error(error.code(), fmt::format("{}: {}{}", who, error.what(), unanswered(error)));
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (timer.late())
    throw Error(
        ErrorCode::deadline,
        fmt::format("{} took the connection but did not answer in time; is it stopped?", who));
  if (!failure.empty()) throw Error(ErrorCode::unreachable, fmt::format("{}: {}", who, failure));
  if (const auto* refusal = std::get_if<wire::Refusal>(&answer.message))
    throw_refusal(*refusal, who);
  auto* theirs = std::get_if<wire::Hello>(&answer.message);
  if (theirs == nullptr)
    throw Error(ErrorCode::failed, fmt::format("{} answered our Hello with a {} message", who,
                                               wire::name_of(answer.message)));
  wire::agree_version(ours, *theirs);
  if (auto fields = compare_pools(ours.pools, theirs->pools); !fields.empty()) {
    const auto refusal = geometry_refusal(fields);
    channel->send(refusal);
    throw Error(ErrorCode::refused,
                fmt::format("{}: {}\n{}", who, refusal.message, format_table(fields)));
  }
  channel->set_established();
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    number = next_peer_++;
  }
  auto peer = std::make_shared<PeerImpl>(shared_from_this(), number, channel, std::move(caller),
                                         std::move(*theirs));
  if (!admit(peer)) throw Error(ErrorCode::cancelled, "this node is shutting down");
  co_return peer;
}

}  // namespace kvferry::detail
