#include "path/cuda_ipc/cuda_engine_poster.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <system_error>

#include "kvferry/error.hpp"
#include "path/cuda_ipc/cuda_job.hpp"

namespace kvferry::path {

// Two batches are in flight, each of a hundred microseconds or more.
constexpr auto kPause = std::chrono::microseconds(30);

EnginePoster::~EnginePoster() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void EnginePoster::add(std::shared_ptr<CudaJob> job) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable()) try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& e) {
      throw Error(ErrorCode::resource,
                  std::string("cannot start a thread to post copies: ") + e.what());
    }
  added_.push_back(std::move(job));
  wake_.notify_one();
}

void EnginePoster::run() {
  const RestrictedThread restricted;
  std::vector<std::shared_ptr<CudaJob>> jobs;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (jobs.empty()) wake_.wait(lock, [this] { return ending_ || !added_.empty(); });
      if (ending_) return;
      std::move(added_.begin(), added_.end(), std::back_inserter(jobs));
      added_.clear();
    }
    bool posted = false;
    for (auto& job : jobs) {
      const auto progress = job->post_more();
      posted |= progress != CudaJob::Progress::waiting;
      if (progress == CudaJob::Progress::all_posted) job.reset();
    }
    std::erase(jobs, nullptr);
    if (!posted && !jobs.empty()) std::this_thread::sleep_for(kPause);
  }
}

}  // namespace kvferry::path
