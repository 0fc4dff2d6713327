// What a peer's data streams need of its control connection: doors, who dials, and the messages of
// requests.
#include <fmt/format.h>
#include <sys/ioctl.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "base/scope_exit.hpp"
#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"
#include "path/tcp/data_link.hpp"
#include "path/tcp/tls_wire.hpp"

namespace kvferry::detail {
namespace {

using path::tcp::DataLink;
using path::tcp::Greeting;

constexpr auto kStreamTime = std::chrono::seconds(5);
// A door comes right behind the Hello.
constexpr auto kDoorTime = std::chrono::seconds(2);
// Beyond that a long list of blocks waits its turn, instead of filling the channel's queue, whose
// end would be the connection's.
constexpr std::size_t kQueuedBytes = 4u << 20;
constexpr auto kPause = std::chrono::milliseconds(1);
// Answers that wait for a peer beyond that, ten thousands: it asks on and on and does not read.
// What our own user asked of the peer is bounded by that user.
constexpr std::size_t kMaxAnswerBytes = 8u << 20;

// What an answer to the peer takes while it waits; 0: it is none.
std::size_t answer_bytes(const wire::Message& message) {
  if (const auto* end = std::get_if<wire::MoveEnd>(&message))
    return sizeof message + end->message.size();
  return std::holds_alternative<wire::MoveReady>(message) ? sizeof message : 0;
}

}  // namespace

// The link's side of the control connection. Does not keep the peer.
class PeerImpl::StreamControl final : public path::tcp::LinkControl {
 public:
  explicit StreamControl(std::weak_ptr<PeerImpl> peer) : peer_(std::move(peer)) {}

  void say(wire::Message message) override {
    with_peer([message = std::move(message)](const std::shared_ptr<PeerImpl>& peer) mutable {
      peer->say_in_turn(std::move(message));
    });
  }
  void open_streams(unsigned count, std::uint32_t epoch, std::uint32_t round) override {
    with_peer([count, epoch, round](const std::shared_ptr<PeerImpl>& peer) {
      peer->open_streams(count, epoch, round);
    });
  }
  void hear_first(std::function<void()> then) override {
    with_peer([then = std::move(then)](const std::shared_ptr<PeerImpl>& peer) mutable {
      peer->hear_first(std::move(then));
    });
  }
  std::string why_no_streams(Clock::time_point until) const override {
    const auto peer = peer_.lock();
    return peer ? peer->why_no_streams(until) : "the connection is over";
  }

 private:
  // On the I/O thread; at once where this is it.
  template <typename F>
  void with_peer(F call) {
    const auto peer = peer_.lock();
    const auto node = peer ? peer->node_.lock() : nullptr;
    if (!node) return;
    asio::dispatch(node->io(), [peer, call = std::move(call)]() mutable { call(peer); });
  }
  const std::weak_ptr<PeerImpl> peer_;
};

void PeerImpl::make_links() {
  const auto node = this->node();
  control_ = std::make_shared<StreamControl>(weak_from_this());
  DataLink::Setup setup;
  setup.threads = node->net_threads();
  setup.stages = node->stages();
  setup.control = control_;
  setup.congestion = node->network().congestion;
  setup.limit = node->rate_limit();
  const unsigned streams = node->network().streams;
  setup.streams = streams != 0 ? streams : node->net_threads()->usual_streams();
  asking_ = std::make_shared<DataLink>(setup);
  serving_ = std::make_shared<DataLink>(setup);
}

void PeerImpl::close_links(const std::string& why) noexcept {
  if (asking_) asking_->close(why);
  if (serving_) serving_->close(why);
}

std::string PeerImpl::why_no_streams(Clock::time_point until) const {
  std::unique_lock lock(mutex_);
  const auto known = [this] { return has_door_ || refused_door_ || listens_here_ || !alive_; };
  if (who_.over_network)
    door_known_.wait_until(lock, std::min(until, Clock::now() + kDoorTime), known);
  if (!alive_) return end_reason_;
  if (has_door_ || listens_here_) return {};
  if (refused_door_) return why_no_door_;
  return "neither process listens on TCP, so no data stream can be opened; serve the pool with a "
         "port (kvferry serve --port, ListenOptions::tcp)";
}

// ---- messages that wait for each other ----

void PeerImpl::say_in_turn(wire::Message message) {
  if (!channel_ || !channel_->is_open()) return;
  answers_waiting_ += answer_bytes(message);
  if (answers_waiting_ > kMaxAnswerBytes) {
    drop_backlog();
    return channel_->give_up("it asks on and on for blocks and does not read the answers");
  }
  backlog_.push_back(std::move(message));
  if (backlog_.size() == 1) say_backlog();
}

void PeerImpl::drop_backlog() noexcept {
  backlog_.clear();
  answers_waiting_ = 0;
}

void PeerImpl::say_backlog() {
  while (channel_ && !backlog_.empty() && channel_->queued_bytes() < kQueuedBytes) {
    say(backlog_.front());
    answers_waiting_ -= answer_bytes(backlog_.front());
    backlog_.pop_front();
  }
  if (!channel_) return drop_backlog();
  if (backlog_.empty()) return;
  auto timer = std::make_shared<asio::steady_timer>(channel_->executor(), kPause);
  timer->async_wait([self = shared_from_this(), timer](std::error_code) { self->say_backlog(); });
}

// Bytes that the socket still holds are read, and handled, by serve().
void PeerImpl::hear_first(std::function<void()> then) {
  if (!channel_) return;  // all is being closed
  int unread = 0;
  if (::ioctl(channel_->native_handle(), FIONREAD, &unread) == 0 && unread == 0) return then();
  auto timer = std::make_shared<asio::steady_timer>(channel_->executor(), kPause);
  timer->async_wait([self = shared_from_this(), timer, then = std::move(then)](
                        std::error_code) mutable { self->hear_first(std::move(then)); });
}

// ---- opening ----

void PeerImpl::open_streams(unsigned count, std::uint32_t epoch,
                            std::optional<std::uint32_t> round) {
  const auto node = node_.lock();
  if (!node || !channel_) return;
  if (!door_ && round && session_) {
    // It cannot be dialled, but it can dial us.
    wanted_round_ = *round;
    say(wire::WantStreams{count, epoch, node->network().congestion});
    return;
  }
  asio::co_spawn(
      node->io(),
      [self = shared_from_this(), count, epoch, round]() -> asio::awaitable<void> {
        co_await self->dial_streams(count, epoch, round);
      },
      asio::detached);
}

// What became of some streams that are being opened together. Those who wait for a greeting hold no
// peer and no link: these hold the threads, and the threads those who wait.
struct PeerImpl::Opening {
  std::weak_ptr<PeerImpl> of;
  std::optional<std::uint32_t> round;  // of our own; none: the peer wants them
  std::atomic<unsigned> left{1};       // one for whoever dials
  std::mutex mutex;
  std::optional<wire::MoveEnd> failure;  // for the peer: the first

  void failed(ErrorCode code, const std::string& why) {
    const auto peer = of.lock();
    if (!peer) return;
    if (round) return peer->asking_->streams_refused(*round, code, why);
    const std::lock_guard lock(mutex);
    if (!failure) failure = wire::MoveEnd{0, code, why, 0};
  }
  void one_less() {
    const auto peer = of.lock();
    if (--left != 0 || !peer) return;
    if (round) return peer->asking_->streams_opened(*round);
    if (failure) peer->control_->say(*failure);
  }
};

asio::awaitable<void> PeerImpl::dial_streams(unsigned count, std::uint32_t epoch,
                                             std::optional<std::uint32_t> round) {
  const auto node = node_.lock();
  if (!node) co_return;
  dialling_ += count;
  const ScopeExit dialled([self = shared_from_this(), count] { self->dialling_ -= count; });
  const auto opening = std::make_shared<Opening>();
  opening->of = weak_from_this();
  opening->round = round;
  const std::weak_ptr link = round ? asking_ : serving_;
  const auto until = Clock::now() + kStreamTime;
  const session::Address reached = network_address();
  const Greeting greeting{!round, epoch, node->network().congestion};
  try {
    if (!door_) throw Error(ErrorCode::refused, why_no_streams(Clock::now()));
    for (unsigned i = 0; i < count && channel_; ++i) {
      auto data = co_await node->data_dialler().open(*door_, reached, next_stream_++, until);
      ++opening->left;
      try {
        path::tcp::greet(node->net_threads()->place(), path::tcp::wire_over(std::move(data)),
                         greeting, kStreamTime,
                         {[link, opening](auto place, auto wire, const Greeting& same) {
                            if (const auto alive = link.lock())
                              alive->adopt(std::move(place), std::move(wire), same, false);
                            opening->one_less();
                          },
                          [opening](const std::string& why) {
                            opening->failed(ErrorCode::unreachable, why);
                            opening->one_less();
                          }});
      } catch (...) {
        opening->one_less();  // nobody else will say so
        throw;
      }
    }
  } catch (const Error& error) {
    opening->failed(error.code(), error.what());
  } catch (const std::exception& error) {
    opening->failed(ErrorCode::unreachable, error.what());
  }
  opening->one_less();
}

// A stream that the peer has opened to us: its greeting says for whose requests.
void PeerImpl::take_data(std::uint32_t, session::DataStream data) {
  const auto node = node_.lock();
  if (!node || !alive()) return;
  // A stream that says nothing costs a descriptor until its time is up.
  if (greeting_ >= wire::kMaxStreams) return;
  ++greeting_;
  const std::shared_ptr<void> counted(nullptr, [weak = weak_from_this()](void*) {
    if (const auto self = weak.lock()) --self->greeting_;
  });
  path::tcp::await_greeting(
      node->net_threads()->place(), path::tcp::wire_over(std::move(data)), kStreamTime,
      {[weak = weak_from_this(), counted](auto place, auto wire, const Greeting& greeting) {
         const auto self = weak.lock();
         if (!self) return;
         const auto link = greeting.for_acceptor ? self->asking_ : self->serving_;
         link->adopt(std::move(place), std::move(wire), greeting, true);
       },
       [weak = weak_from_this()](const std::string& why) {
         const auto self = weak.lock();
         if (!self) return;
         if (const auto alive = self->node_.lock())
           alive->log(LogLevel::debug,
                      fmt::format("{}: a data stream came to nothing: {}", self->name_, why));
       }});
}

// ---- requests ----

void PeerImpl::on(wire::WantStreams& message) {
  if (dialling_ + message.count > wire::kMaxStreams)
    return say(wire::MoveEnd{0, ErrorCode::resource, "too many streams are being opened", 0});
  open_streams(message.count, message.epoch, std::nullopt);
}

void PeerImpl::on(wire::MoveRequest& message) {
  const auto node = this->node();
  const auto refuse = [&](std::string why) {
    say(wire::MoveEnd{message.request, ErrorCode::refused, std::move(why), 0});
  };
  const auto [pool, generation] = node->served_pool(message.pool);
  if (!pool || generation != message.generation || !who_.may_see(pool->options.name))
    return refuse("this pool is not served here, or it was revoked");
  if (!who_.may(message.direction, pool->options.name))
    return refuse(fmt::format("the credential may not {} pool '{}'", to_string(message.direction),
                              pool->options.name));
  if (message.direction == Direction::push && !pool->options.writable)
    return refuse(fmt::format("pool '{}' is not writable", pool->options.name));
  // Held before it is looked at again: a revoke in between either waits for this or refuses it.
  node->holds().route_opened(pool.get());
  std::shared_ptr<void> hold(nullptr, [weak = std::weak_ptr(node), pool](void*) {
    if (const auto alive = weak.lock()) alive->holds().route_closed(pool.get());
  });
  if (!node->served_pool(message.pool).pool) return refuse("this pool was just revoked");
  know_granted(message.pool, *pool, generation);
  serving_->serve(std::move(message), pool, std::move(hold));
}

void PeerImpl::on(wire::MoveRuns& message) { serving_->on(message); }
void PeerImpl::on(wire::MoveCancel& message) { serving_->on(message); }
void PeerImpl::on(wire::MoveReady& message) { asking_->on(message); }
void PeerImpl::on(wire::MoveEnd& message) {
  if (message.request != 0) return asking_->on(message);
  asking_->streams_refused(wanted_round_, message.failure.value_or(ErrorCode::refused),
                           message.message);
  asking_->streams_opened(wanted_round_);
}

}  // namespace kvferry::detail
