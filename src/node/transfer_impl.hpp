#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "kvferry/transfer.hpp"
#include "node/deadline_timer.hpp"
#include "path/path.hpp"
#include "wire/messages.hpp"

namespace kvferry::detail {

// One transfer's state machine: running, then exactly one terminal state, declared only once the
// path's job is quiet.
//
// Three may notice that it is quiet: the path (from any thread, the one that watches a GPU
// included, so finishing calls no CUDA and blocks on nothing), somebody who waits, and somebody who
// polls. The first one finishes it.
class TransferImpl final : public path::JobObserver,
                           public std::enable_shared_from_this<TransferImpl> {
 public:
  using Clock = std::chrono::steady_clock;

  // Told once, after the terminal state is visible, with the route this transfer held (to be
  // released where CUDA calls are allowed). From any thread.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void ended(TransferImpl& transfer, std::shared_ptr<path::Route> route) = 0;
  };
  // What there is to do and say at the end.
  struct Ending {
    wire::Served served;  // but for the seconds
    bool notify_completion = false;
    std::uint64_t tag = 0;
    std::shared_ptr<DeadlineTimer> deadline;
  };
  struct Start {
    Clock::time_point called;  // when the caller's call began: the report's times count from here
    std::optional<Clock::time_point> deadline;
    TransferReport report;  // path, bytes, blocks, layers, pieces
    path::JobOptions job;
    Ending ending;
  };

  TransferImpl(Start start, std::shared_ptr<Owner> owner);

  // Begins to move a plan, which stays the caller's to use again, or a prepared copy. Throws what
  // Route::start throws; the transfer is then as if it had never been.
  void begin(std::shared_ptr<path::Route> route, plan::Plan& plan);
  void begin(std::shared_ptr<path::Route> route, path::PreparedCopy& copy);
  // Its deadline passed before it had a route: it ends at once, and has moved nothing.
  void begin_late(std::string_view why);

  TransferState poll();
  bool wait_until(Clock::time_point until);
  // Adds a completion to what there is to do at the end; false where it has ended.
  bool notify(std::uint64_t tag);
  // Stops it early for the reason given; the first reason counts.
  void abort(TransferState why, std::string message) noexcept;

  TransferState state() const;
  const TransferReport& report() const;
  const std::string& error() const;
  // What kind of error() it is.
  ErrorCode error_code() const;
  std::optional<Clock::time_point> deadline() const { return start_.deadline; }
  const volatile std::uint32_t* status_word() const;
  const Ending& ending() const noexcept { return start_.ending; }

  void job_is_quiet() noexcept override;

 private:
  // False where there is nothing to start.
  bool hold(std::shared_ptr<path::Route> route);
  bool is_late(const std::exception& error) const noexcept;
  void started(std::shared_ptr<path::Job> job);
  void never_began(const std::string& why);
  void finish();
  void end_late(std::string_view why);
  void end_as(TransferState state, std::string message);

  mutable Start start_;  // the report's method is told when it is asked for
  std::shared_ptr<Owner> owner_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  TransferState state_ = TransferState::running;
  TransferState abort_state_ = TransferState::running;  // running: not aborted
  std::string abort_message_;
  std::string error_;
  ErrorCode failure_ = ErrorCode::failed;  // of one that ended as failed
  bool quiet_before_begin_returned_ = false;
  Clock::time_point posted_;
  std::shared_ptr<path::Job> job_;
  std::shared_ptr<path::Route> route_;
};

ErrorCode error_code_of(TransferState state) noexcept;

}  // namespace kvferry::detail
