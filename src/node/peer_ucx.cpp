// Keys for path ucx: asking the peer for them, and giving it ours.
#include <fmt/format.h>

#include <algorithm>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>

#include "base/scope_exit.hpp"
#include "node/node_impl.hpp"
#include "node/peer_impl.hpp"

namespace kvferry::detail {
namespace {

using path::ucx::Connection;
using path::ucx::Engine;

// UCX looks at every card of the host when it begins.
constexpr auto kAddressTime = std::chrono::seconds(10);
// Pinning memory takes about 0.2 s for each GiB.
constexpr auto kKeysTime = std::chrono::seconds(120);
// Of one peer that wait for UCX to begin. An honest one asks again only after kAddressTime.
constexpr std::uint32_t kMaxUcxQuestions = 16;

}  // namespace

// The requester's side. Does not keep the peer.
class PeerImpl::UcxLink final : public path::ucx::PeerLink {
 public:
  UcxLink(std::weak_ptr<PeerImpl> peer, std::shared_ptr<Engine> engine)
      : peer_(std::move(peer)), engine_(std::move(engine)) {}

  const std::shared_ptr<Engine>& engine() const noexcept override { return engine_; }
  std::string why_not() const override {
    const auto peer = peer_.lock();
    if (!peer) return "the connection is over";
    if (std::ranges::count(peer->theirs_.paths, "ucx") == 0)
      return "the peer's kvferry is too old for path ucx";
    return peer->why_no_ucx();
  }

  std::shared_ptr<Connection> connection(Clock::time_point until) override {
    const std::unique_lock one_at_a_time(asking_, until);
    if (!one_at_a_time) throw Error(ErrorCode::deadline, "the deadline passed while UCX began");
    {
      const std::lock_guard lock(mutex_);
      if (connection_) return connection_;
    }
    auto answer = ask([](auto request) { return wire::AskUcx{request}; }, kAddressTime, until);
    auto made = engine_->connect(std::move(std::get<wire::UcxAddress>(answer).address));
    const std::lock_guard lock(mutex_);
    if (why_closed_.empty()) connection_ = made;
    return made;
  }

  wire::UcxGrant open(std::uint32_t pool, std::uint64_t generation, bool wants_write,
                      Clock::time_point until) override {
    auto answer =
        ask([&](auto request) { return wire::OpenUcx{request, pool, generation, wants_write}; },
            kKeysTime, until);
    return std::move(std::get<wire::UcxGrant>(answer));
  }

  void close(std::uint32_t pool, std::uint64_t generation) noexcept override {
    const auto peer = peer_.lock();
    const auto node = peer ? peer->node_.lock() : nullptr;
    if (!node) return;
    asio::dispatch(node->io(),
                   [peer, pool, generation] { peer->say(wire::Unmapped{pool, generation}); });
  }

  // False: nobody waits for it any more.
  template <typename Answer>
  bool answered(Answer& answer) {
    const std::lock_guard lock(mutex_);
    const auto it = pending_.find(answer.request);
    if (it == pending_.end() || it->second.kind != wire::Message(Answer{}).index()) return false;
    it->second.promise.set_value(std::move(answer));
    pending_.erase(it);
    return true;
  }
  bool denied(std::uint32_t request, const Error& why) {
    const std::lock_guard lock(mutex_);
    const auto it = pending_.find(request);
    if (it == pending_.end()) return false;
    it->second.promise.set_exception(std::make_exception_ptr(why));
    pending_.erase(it);
    return true;
  }
  void close_all(const std::string& why) {
    const std::lock_guard lock(mutex_);
    why_closed_ = why;
    connection_.reset();
    for (auto& [request, pending] : pending_)
      pending.promise.set_exception(std::make_exception_ptr(Error(ErrorCode::unreachable, why)));
    pending_.clear();
  }

 private:
  struct Pending {
    std::size_t kind = 0;  // of the answer
    std::promise<wire::Message> promise;
  };

  template <typename Make>
  wire::Message ask(Make make, std::chrono::seconds patience, Clock::time_point until) {
    using Question = decltype(make(0u));
    using Answer = std::conditional_t<std::is_same_v<Question, wire::AskUcx>, wire::UcxAddress,
                                      wire::UcxGrant>;
    const auto peer = peer_.lock();
    if (!peer) throw Error(ErrorCode::unreachable, "the connection is over");
    const auto node = peer->node();
    const std::uint32_t request = peer->draw_request();
    std::future<wire::Message> answer;
    {
      const std::lock_guard lock(mutex_);
      if (!why_closed_.empty()) throw Error(ErrorCode::unreachable, why_closed_);
      Pending& pending = pending_[request];
      pending.kind = wire::Message(Answer{}).index();
      answer = pending.promise.get_future();
    }
    asio::post(node->io(), [peer, question = make(request)] { peer->say(question); });
    const auto began = Clock::now();
    if (answer.wait_until(std::min(until, began + patience)) != std::future_status::ready) {
      const std::lock_guard lock(mutex_);
      // It may have come just now.
      if (pending_.erase(request) != 0)
        throw Error(
            ErrorCode::deadline,
            fmt::format("{} gave no keys for path ucx within {:.1f} s; is it stopped?", peer->name_,
                        std::chrono::duration<double>(Clock::now() - began).count()));
    }
    return answer.get();
  }

  const std::weak_ptr<PeerImpl> peer_;
  const std::shared_ptr<Engine> engine_;
  std::timed_mutex asking_;  // before mutex_
  std::mutex mutex_;
  std::string why_closed_;
  std::shared_ptr<Connection> connection_;
  std::map<std::uint32_t, Pending> pending_;
};

std::uint32_t PeerImpl::draw_request() {
  const std::lock_guard lock(mutex_);
  if (!alive_) throw Error(ErrorCode::unreachable, end_reason_);
  return next_request_++;
}

void PeerImpl::make_ucx_link() {
  ucx_ = std::make_shared<UcxLink>(weak_from_this(), node()->ucx());
}

void PeerImpl::close_ucx(const std::string& why) {
  if (ucx_) ucx_->close_all(why);
  enrolled_.clear();
}

std::shared_ptr<path::ucx::PeerLink> PeerImpl::ucx_link() const { return ucx_; }

bool PeerImpl::ucx_denied(const wire::Denied& message) {
  return ucx_ &&
         ucx_->denied(message.request,
                      Error(message.code, fmt::format("{} refuses: {}", name_, message.message)));
}

std::string PeerImpl::why_no_ucx() const {
  const auto node = node_.lock();
  if (!node) return "the node is closing";
  if (!who_.over_network) return {};
  if (!who_.encrypted)
    return "keys for memory never travel unencrypted: give both sides a credential (kvferry "
           "keygen)";
  if (!node->takes_plain_data())
    return "blocks travel unencrypted over ucx; --plain-data (Credentials::plain_data) on both "
           "sides allows that, and keeps the keys inside TLS";
  const Permission& rights = who_.rights;
  if (!rights.read || !rights.write || !rights.pools.empty())
    return "the credential may do some things only, and UCX keeps nobody to them";
  return {};
}

void PeerImpl::on(wire::UcxAddress& message) { ucx_->answered(message); }

void PeerImpl::on(wire::UcxGrant& message) {
  const auto announced =
      std::ranges::find(theirs_.pools, message.pool, [](const auto& pool) { return pool.number; });
  if (announced == theirs_.pools.end())
    throw Error(ErrorCode::refused, "a grant over ucx for a pool that was never announced");
  wire::check_grant(message, *announced);
  const auto [pool, generation] = std::pair(message.pool, message.generation);
  // What nobody waits for any more goes back.
  if (!ucx_->answered(message)) say(wire::Unmapped{pool, generation});
}

// ---- the owner's side ----

void PeerImpl::on(const wire::AskUcx& message) {
  const auto node = this->node();
  const auto self = shared_from_this();
  const auto answer = [self](const wire::Message& said) {
    --self->ucx_questions_;
    self->say(said);
  };
  const auto deny = [answer, request = message.request](ErrorCode code, std::string why) {
    answer(wire::Denied{request, code, std::move(why)});
  };
  if (++ucx_questions_ > kMaxUcxQuestions)
    throw Error(ErrorCode::refused, "it asks for the UCX address on and on");
  const auto engine = node->ucx();
  for (const auto& why : {engine->why_not(), why_no_ucx()})
    if (!why.empty()) return deny(ErrorCode::refused, why);
  // UCX takes a while to begin: not on this thread.
  const bool posted = engine->post([node, engine, answer, deny, request = message.request] {
    try {
      asio::post(node->io(),
                 [answer, said = wire::UcxAddress{request, engine->address()}] { answer(said); });
    } catch (const Error& error) {
      asio::post(node->io(), [deny, error] { deny(error.code(), error.what()); });
    }
  });
  if (!posted) deny(ErrorCode::refused, "the node is closing");
}

void PeerImpl::on(const wire::OpenUcx& message) {
  const auto node = this->node();
  const auto self = shared_from_this();
  const auto deny = [self, request = message.request](ErrorCode code, std::string why) {
    self->say(wire::Denied{request, code, std::move(why)});
  };
  const auto engine = node->ucx();
  for (const auto& why : {engine->why_not(), why_no_ucx()})
    if (!why.empty()) return deny(ErrorCode::refused, why);
  const auto [pool, generation] = node->served_pool(message.pool);
  if (!pool || generation != message.generation || !who_.may_see(pool->options.name))
    return deny(ErrorCode::refused, "this pool is not served here, or it was revoked");
  if (grants_out_ >= kMaxGrantsOut)
    return deny(ErrorCode::refused,
                fmt::format("{} grants are open already; unmap some first", grants_out_));
  if (message.wants_write && !pool->options.writable)
    return deny(ErrorCode::refused, fmt::format("pool '{}' is not writable", pool->options.name));
  // Held before it is looked at again: a revoke in between waits for this grant, or denies it.
  node->holds().peer_granted(number_, name_, pool.get(), message.wants_write);
  grant_begins(message.pool, *pool, generation);
  const auto undo = [node, self, pool, deny, number = message.pool](ErrorCode code,
                                                                    const std::string& why) {
    if (!self->grant_ends(number)) return deny(code, why);
    node->holds().peer_unmapped(self->number_, pool.get());
    deny(code, why);
  };
  const bool posted = engine->post([node, self, engine, message, pool, undo] {
    try {
      asio::post(node->io(), [node, self, message, undo, ours = engine->enrol(pool)] {
        if (!node->served_pool(message.pool).pool)
          return undo(ErrorCode::refused, "this pool was just revoked");
        self->grant_ucx(message, ours);
      });
    } catch (const Error& error) {
      asio::post(node->io(), [undo, error] { undo(error.code(), error.what()); });
    }
  });
  if (!posted) undo(ErrorCode::refused, "the node is closing");
}

void PeerImpl::grant_ucx(const wire::OpenUcx& message,
                         const std::shared_ptr<path::ucx::Registration>& registration) {
  const auto node = this->node();
  const auto [pool, generation] = node->served_pool(message.pool);
  if (!pool) return;
  wire::UcxGrant grant;
  grant.request = message.request;
  grant.pool = message.pool;
  grant.generation = generation;
  grant.parts = pool->parts;
  grant.block_stride = pool->block_stride;
  grant.planes = pool->planes;
  grant.regions = registration->regions();
  enrolled_[message.pool] = registration;
  say(grant);
  node->log(LogLevel::debug,
            fmt::format("{}: gave keys of pool '{}' for ucx{}", name_, pool->options.name,
                        message.wants_write ? ", for reading and writing" : ""));
}

}  // namespace kvferry::detail
