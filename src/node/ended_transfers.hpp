#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "node/node_fwd.hpp"
#include "path/path.hpp"

namespace kvferry::detail {

// Transfers that have ended and whose last words are still to be said by the I/O thread: their
// route to be let go of, the owner to be told. Waking that thread costs whoever saw the end 1 to 2
// us (a write to an eventfd), of the 20 that a small transfer takes; so while transfers end it
// looks by itself every millisecond, and is woken only where somebody waits for the words, or many
// have gathered. Whoever posts faster than that thread speaks waits for it, so that memory stays
// bounded. Thread-safe.
class EndedTransfers : public std::enable_shared_from_this<EndedTransfers> {
 public:
  struct Ended {
    std::shared_ptr<PeerImpl> peer;
    std::shared_ptr<TransferImpl> transfer;
    std::shared_ptr<path::Route> route;
  };

  explicit EndedTransfers(asio::io_context& io);
  void add(Ended ended, bool at_once);
  // Before a transfer with a peer is posted: waits a little where too many are still to be told of,
  // or that peer is slow to hear of them. On the I/O thread it does not.
  void make_room(const PeerImpl& peer);
  // On the I/O thread, or when there is none any more.
  void drain();

 private:
  using Clock = std::chrono::steady_clock;
  void look();
  void look_at_slow();

  asio::io_context& io_;
  asio::steady_timer timer_;
  Clock::time_point last_{};                     // I/O thread only
  std::vector<Ended> being_told_;                // I/O thread only
  std::vector<std::shared_ptr<PeerImpl>> slow_;  // I/O thread only
  std::atomic<bool> full_{false};
  std::mutex mutex_;
  std::condition_variable room_;
  bool looking_ = false;
  std::vector<Ended> waiting_;
};

}  // namespace kvferry::detail
