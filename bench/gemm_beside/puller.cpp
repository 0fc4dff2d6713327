#include "gemm_beside/puller.hpp"

#include <deque>
#include <utility>

#include "kvferry/error.hpp"

namespace gemm_beside {
namespace {

using namespace kvferry;
using namespace std::chrono_literals;

// Far above what one SM needs for the largest pull: past it something hangs.
constexpr auto kPullPatience = 20s;

}  // namespace

Puller::Puller(const Peer& peer, const Pool& local, std::vector<BlockIds> ids)
    : peer_(peer), local_(local), ids_(std::move(ids)) {}

Puller::~Puller() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Puller::start(const TransferOptions& options) {
  stop_ = failed_ = false;
  ended_ = 0;
  ends_.clear();
  error_ = nullptr;
  thread_ = std::thread([this, options] {
    try {
      run(options);
    } catch (...) {
      error_ = std::current_exception();
      failed_ = true;
    }
  });
}

void Puller::run(const TransferOptions& options) {
  std::deque<Transfer> running;
  for (std::size_t i = 0; !stop_; ++i) {
    // In order: a list is used again only once its last pull has ended.
    if (running.size() == ids_.size()) {
      finish(running.front());
      running.pop_front();
    }
    const BlockIds& ids = ids_[i % ids_.size()];
    running.push_back(peer_.pull(local_, ids.remote, ids.local, options));
  }
  for (const Transfer& transfer : running) finish(transfer);
}

void Puller::finish(const Transfer& transfer) {
  if (!transfer.wait_for(kPullPatience)) {
    transfer.cancel();
    throw Error(ErrorCode::deadline, "a pull has not ended within 20 s");
  }
  report_ = transfer.wait();
  ends_.push_back(Clock::now());
  ++ended_;
}

void Puller::wait_for(std::size_t pulls) {
  while (ended_ < pulls && !failed_) std::this_thread::sleep_for(100us);
  if (failed_) stop();
}

std::vector<Clock::time_point> Puller::stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return std::move(ends_);
}

}  // namespace gemm_beside
