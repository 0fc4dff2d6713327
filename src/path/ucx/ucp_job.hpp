#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "path/ucx/pieces.hpp"
#include "path/ucx/ucp_route.hpp"

namespace kvferry::path::ucx {

// A plan as one-sided gets or puts, a bounded number of them under way. The engine's thread steps
// it; the rest is thread-safe.
//
// It is quiet when no operation of it is under way: all have ended by themselves, or the endpoint
// was closed by force, after which UCX writes nothing of them into our memory. A push ends with a
// flush, which tells that everything has landed.
class UcpJob final : public Job {
 public:
  using Clock = UcpEngine::Clock;
  static constexpr std::size_t kWindow = 64;  // operations under way, of at most Pieces::kMaxBytes
  // Once a job is to stop, and nothing of its peer has ended for so long, the endpoint is closed.
  static constexpr auto kGrace = std::chrono::milliseconds(100);

  static std::shared_ptr<UcpJob> start(plan::Plan plan, std::shared_ptr<Reach> reach,
                                       Direction direction, std::shared_ptr<JobObserver> observer);

  void abort(ErrorCode why) noexcept override;
  std::optional<JobResult> poll() override;
  bool wait_until(Clock::time_point until) override;
  std::string method() const override;

  // Engine's thread. True: it is over.
  bool step(Clock::time_point now) noexcept;
  bool is_stopping() const noexcept { return stopped_at_.has_value() || abort_ != kNoAbort; }
  // The engine goes, and UCX has not let go of it.
  void give_up(const std::string& why) noexcept;

  struct Key {};  // only start() makes jobs
  UcpJob(Key, plan::Plan plan, std::shared_ptr<Reach> reach, Direction direction,
         std::shared_ptr<JobObserver> observer);

 private:
  static constexpr int kNoAbort = -1;
  struct Operation {
    UcpJob* job = nullptr;
    std::uint64_t bytes = 0;
  };
  static void on_done(void* request, ucs_status_t status, void* operation);

  bool begin() noexcept;
  void post_some() noexcept;
  void post_flush() noexcept;
  // What the call that posted it returned.
  void posted(Operation& operation, ucs_status_ptr_t request) noexcept;
  void ended(Operation& operation, ucs_status_t status) noexcept;
  void stop(Clock::time_point now) noexcept;
  void fail(ErrorCode code, std::string why) noexcept;
  void urge(Clock::time_point now) noexcept;
  JobResult outcome() const;
  void finish(JobResult result) noexcept;

  const Direction direction_;
  const std::uint64_t bytes_;
  const std::shared_ptr<UcpEngine> engine_;
  const Clock::time_point started_ = Clock::now();
  std::atomic<int> abort_{kNoAbort};

  // Engine's thread.
  std::shared_ptr<Reach> reach_;
  std::shared_ptr<Endpoint> endpoint_;
  std::shared_ptr<RemoteKeys> keys_;
  Pieces pieces_;
  std::array<Operation, kWindow> operations_;
  std::vector<Operation*> free_;
  bool posted_all_ = false;
  bool flushing_ = false, flushed_ = false;
  std::uint64_t landed_ = 0;  // of a push: that has left
  std::optional<Clock::time_point> stopped_at_;
  bool closed_by_us_ = false;
  ErrorCode code_ = ErrorCode::failed;
  std::string error_;

  mutable std::mutex mutex_;
  std::condition_variable over_;
  std::string carriage_;
  std::optional<JobResult> result_;
  std::shared_ptr<JobObserver> observer_;
};

}  // namespace kvferry::path::ucx
