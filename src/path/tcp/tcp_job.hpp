#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "path/path.hpp"
#include "path/tcp/data_link.hpp"
#include "path/tcp/tcp_route.hpp"

namespace kvferry::path::tcp {

// One transfer that this process asked for. Thread-safe.
//
// A pull is quiet as soon as nothing here writes into our pool: when every chunk has landed, or
// after it was stopped. A push is quiet when its owner has said that nothing can land any more;
// when the connection to the owner is over; or, where it was stopped or its streams broke and the
// owner does not answer, after kConfirmTime. (A deadline the owner keeps by itself.)
class TcpJob final : public Job, public Requester, public std::enable_shared_from_this<TcpJob> {
 public:
  struct Setup {
    std::shared_ptr<DataLink> link;
    std::shared_ptr<detail::PoolImpl> local;
    std::uint32_t pool = 0;  // the owner's number
    std::uint64_t generation = 1;
    JobOptions options;
  };
  // The observer holds the job, so the job lets go of it at the end. Throws: Error{unreachable},
  // Error{resource}.
  static std::shared_ptr<TcpJob> start(const LaidOut& laid_out, Setup setup,
                                       std::shared_ptr<JobObserver> observer);

  void abort(ErrorCode why) noexcept override;
  std::optional<JobResult> poll() override;
  bool wait_until(std::chrono::steady_clock::time_point until) override;
  std::string method() const override { return method_; }

  void ready() noexcept override;
  void ended(const wire::MoveEnd& end) noexcept override;
  void lost(const std::string& why, bool for_good) noexcept override;

  struct Key {};  // only start() makes jobs
  TcpJob(Key, Setup setup, std::shared_ptr<JobObserver> observer);

  // How long the owner of a push that was stopped may take to say that nothing lands any more.
  static constexpr auto kConfirmTime = std::chrono::seconds(1);

 private:
  using Clock = std::chrono::steady_clock;

  void begin(const LaidOut& laid_out);
  void make_pull(const LaidOut& laid_out, std::uint32_t chunk_bytes);
  void make_push(const LaidOut& laid_out, std::uint32_t chunk_bytes);
  void prepare_push() noexcept;
  void ask(const LaidOut& laid_out, std::uint32_t chunk_bytes);
  bool is_over() const;
  void pull_over(const Incoming::Outcome& outcome) noexcept;
  void push_quiet(const std::string& error) noexcept;
  // Nothing of ours reads the pool any more, and the owner's answer is `answer`.
  void settle_push(std::unique_lock<std::mutex>& lock) noexcept;
  void answer_push(JobResult result) noexcept;
  void wait_for_answer() noexcept;
  JobResult unconfirmed(const std::string& why) const;
  void finish(std::unique_lock<std::mutex>& lock, JobResult result) noexcept;

  const Setup setup_;
  const bool pull_;
  const Clock::time_point started_ = Clock::now();
  std::string method_;
  std::uint32_t request_ = 0;
  std::uint64_t bytes_ = 0;
  std::shared_ptr<Incoming> incoming_;  // of a pull
  std::shared_ptr<Outgoing> outgoing_;  // of a push

  mutable std::mutex mutex_;
  std::condition_variable over_;
  bool aborted_ = false;
  std::string failed_here_;
  std::string lost_;                 // why the streams of a push broke
  bool sending_ = false;             // the push was let go
  bool sent_quiet_ = false;          // the push reads our pool no more
  std::optional<JobResult> answer_;  // of a push: what its owner said, or what stands for it
  std::optional<JobResult> result_;
  std::shared_ptr<JobObserver> observer_;
};

}  // namespace kvferry::path::tcp
