#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "memory/pool_impl.hpp"
#include "path/tcp/greeting.hpp"
#include "path/tcp/incoming.hpp"
#include "path/tcp/net_threads.hpp"
#include "path/tcp/outgoing.hpp"
#include "path/tcp/staging.hpp"
#include "path/tcp/stream.hpp"
#include "wire/messages.hpp"

namespace kvferry::path::tcp {

// What a DataLink needs of the control connection to its peer.
class LinkControl {
 public:
  virtual ~LinkControl() = default;
  // Queues a message for the peer. Any thread.
  virtual void say(wire::Message message) = 0;
  // Begins to open so many more data streams for our requests: each ends in DataLink::adopt() or
  // streams_refused(), and all together in streams_opened(). Where the peer dials, it says only
  // what went wrong, if it can. Any thread.
  virtual void open_streams(unsigned count, std::uint32_t epoch, std::uint32_t round) = 0;
  // Calls back once everything has been handled that the peer had said by now. Any thread.
  virtual void hear_first(std::function<void()> then) = 0;
  // Why there can be no data streams with this peer; empty: there can. Waits for that no longer
  // than `until`.
  virtual std::string why_no_streams(std::chrono::steady_clock::time_point until) const = 0;
};

// A request of this process's: told what becomes of it, from any thread.
class Requester {
 public:
  virtual ~Requester() = default;
  virtual void ready() noexcept {}
  virtual void ended(const wire::MoveEnd& end) noexcept = 0;
  // The data streams broke; `for_good`: with the connection, and no answer will come.
  virtual void lost(const std::string& why, bool for_good) noexcept = 0;
};

// Data streams between this process and one peer, what moves over them, and who waits for it. They
// are there for the requests of one side: two processes that ask each other have two links.
// Thread-safe.
//
// All streams are one: when one breaks, chunks that were in its buffers are gone, and nobody knows
// whose they were. So all are closed then, every transfer under way ends, and the next one opens
// new streams.
class DataLink final : public StreamOwner, public std::enable_shared_from_this<DataLink> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Setup {
    std::shared_ptr<NetThreads> threads;
    std::shared_ptr<StagePools> stages;
    std::weak_ptr<LinkControl> control;
    std::string congestion;            // ours for every stream; empty: what suits
    std::shared_ptr<RateLimit> limit;  // of all that this process sends; may be null
    unsigned streams = 2;              // of a transfer that names no number
  };
  explicit DataLink(Setup setup) : setup_(std::move(setup)) {}

  const Setup& setup() const noexcept { return setup_; }
  // Why there can be no streams; empty: there can. Waits no longer than `until`, to learn it.
  std::string why_not(Clock::time_point until = Clock::time_point::max()) const;

  // ---- streams ----
  // A stream that was greeted; tuned here. It stays at its place: those that are greeted at once
  // are then spread over the threads evenly. The first of a later epoch ends those before it; one
  // of an earlier epoch is closed. `answer`: the greeting is ours to answer. Any thread. Throws:
  // Error{unreachable}, Error{invalid_argument} (the congestion control).
  void adopt(NetThreads::Place place, std::unique_ptr<WireSocket> wire, const Greeting& greeting,
             bool answer);
  // What became of a round of open_streams(): one of its streams could not be had; it is over.
  void streams_refused(std::uint32_t round, ErrorCode code, const std::string& why);
  void streams_opened(std::uint32_t round);
  // Waits until there are `count`; where fewer can be had, those will do. Returns how many there
  // are, at `until` at the latest, and after a quarter of the time where there are some. After
  // trouble, the next try waits a little, and longer each time. Throws, where there is none:
  // Error{unreachable}, Error{deadline}, or why they were refused.
  unsigned ensure_streams(unsigned count, Clock::time_point until);
  // What carries a transfer that uses so many: "2 tcp streams, cubic".
  std::string describe(unsigned streams) const;
  // Everything ends. Nothing can be begun any more.
  void close(const std::string& why) noexcept;

  // ---- requests of ours ----
  std::uint32_t draw_request();
  // Throws: Error{unreachable} where there are no streams any more.
  void begin_request(std::uint32_t request, const std::shared_ptr<Requester>& requester);
  void end_request(std::uint32_t request) noexcept;
  // The chunks of our pull go there.
  void expect(std::uint32_t request, std::shared_ptr<Incoming> incoming);
  // Chunks of our push, or of a peer's pull.
  void send(const std::shared_ptr<Outgoing>& outgoing);
  // Stops it, and closes a stream that stays in the middle of one of its chunks.
  void stop(const std::shared_ptr<Outgoing>& outgoing) noexcept;
  void say(wire::Message message);
  StagingOptions staging_options(std::uint32_t max_sms, unsigned streams);
  // Streams look again for what there is to send, and for room.
  void kick();
  // Those that had nothing to send look again.
  void kick_idle();

  // ---- requests of the peer's, and answers ----
  // `hold` keeps the pool from being revoked while anything can touch it. Throws: Error{refused}
  // for what only a broken peer sends.
  void serve(wire::MoveRequest request, std::shared_ptr<detail::PoolImpl> pool,
             std::shared_ptr<void> hold);
  void on(wire::MoveRuns& message);
  void on(const wire::MoveCancel& message);
  void on(const wire::MoveReady& message);
  void on(const wire::MoveEnd& message);

  // StreamOwner
  bool take(Stream& stream, OutChunk& chunk, Clock::time_point& when) override;
  std::shared_ptr<Incoming> incoming_for(const ChunkHeader& header) override;
  void stream_broke(Stream& stream, const std::string& why) noexcept override;

 private:
  // What the requests of the peer weigh, all together.
  struct Load {
    std::atomic<std::uint64_t> requests{0}, bytes{0};
  };
  // The part of one of them: until the last that works on it, or waits to, lets go; a peer that
  // cancels its request is no lighter before that. Also tells a request from a later one that has
  // its number.
  class Share {
   public:
    Share(std::shared_ptr<Load> load, const wire::MoveRequest& request);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    static std::uint64_t bytes_of(const wire::MoveRequest& request) noexcept;
    const std::uint32_t request;

   private:
    const std::shared_ptr<Load> load_;
    const std::uint64_t bytes_;
  };
  using SharePtr = std::shared_ptr<const Share>;
  // A peer's request: gathering its runs, being checked, or moving.
  struct Served {
    SharePtr share;
    bool gathering = true;
    bool stopped = false;
    wire::MoveRequest request;
    std::shared_ptr<detail::PoolImpl> pool;
    std::shared_ptr<void> hold;
    Clock::time_point asked;
    // None of the two: it is gathering, or being checked.
    std::shared_ptr<Outgoing> out;
    std::shared_ptr<Incoming> in;
  };
  using Key = std::pair<bool, std::uint32_t>;  // ours, request

  // Streams are opened in rounds, one at a time; what is heard of an earlier one is no news.
  struct Opening {
    std::uint32_t round = 0;
    unsigned wanted = 0;  // streams that there should be after it
    bool over = true;
    std::optional<ErrorCode> failed;
    std::string why;
    Clock::time_point began{};
    Clock::time_point next{};  // not before
    std::chrono::milliseconds pause{0};
  };
  bool is_opening(Clock::time_point now) const noexcept;
  void begin_round(std::unique_lock<std::mutex>& lock, unsigned count);
  void trouble() noexcept;

  // False: it is of the past.
  bool enter_epoch(std::uint32_t epoch);
  bool take_one(Stream& stream, OutChunk& chunk, Clock::time_point& when,
                std::vector<std::shared_ptr<Outgoing>>& over);
  // Once all its runs are there: the rest is done on a network thread.
  void gathered(std::unique_lock<std::mutex>& lock, Served& served);
  void lay_out(Served served) noexcept;
  void begin_serving(const Served& served, const std::shared_ptr<Outgoing>& out,
                     const std::shared_ptr<Incoming>& in);
  // Under the lock; null: it was cancelled meanwhile, or its streams broke.
  Served* still_served(const Share& share) noexcept;
  std::shared_ptr<Outgoing> make_pull(const Served& served, std::shared_ptr<const PackedRows> rows);
  std::shared_ptr<Incoming> make_push(const Served& served, std::shared_ptr<const PackedRows> rows);
  void refuse(std::uint32_t request, ErrorCode code, const std::string& why);
  void forget_served(const Share& share) noexcept;
  std::shared_ptr<Requester> requester_of(std::uint32_t request);
  void drop_all(const std::string& why, Stream* broken, bool for_good) noexcept;
  // What a set of streams takes along when it ends: taken under the lock, told without it.
  struct Dropped {
    std::vector<std::shared_ptr<Stream>> streams;
    std::deque<std::shared_ptr<Outgoing>> outbox;
    std::map<Key, std::shared_ptr<Incoming>> incoming;
    std::map<std::uint32_t, std::weak_ptr<Requester>> requests;
    std::map<std::uint32_t, Served> served;
  };
  Dropped take_all() noexcept;
  static void tell(const Dropped& all, const std::string& why, const Stream* broken,
                   bool for_good) noexcept;

  const Setup setup_;
  mutable std::mutex mutex_;
  std::condition_variable streams_changed_;
  bool closed_ = false;
  std::string closed_why_;
  std::vector<std::shared_ptr<Stream>> streams_;
  std::uint32_t epoch_ = 0;
  std::string congestion_used_, wire_used_;
  Opening opening_;
  bool asks_ = false;        // the epoch is ours to count
  bool epoch_over_ = false;  // its streams broke: what still comes of it is too late
  std::set<Stream*> idle_;
  std::deque<std::shared_ptr<Outgoing>> outbox_;
  std::map<Key, std::shared_ptr<Incoming>> incoming_;
  std::map<std::uint32_t, std::weak_ptr<Requester>> requests_;
  std::uint32_t next_request_ = 1;
  std::map<std::uint32_t, Served> served_;
  const std::shared_ptr<Load> load_ = std::make_shared<Load>();
};

}  // namespace kvferry::path::tcp
