#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "kvferry/node.hpp"

namespace gemm_beside {

using Clock = std::chrono::steady_clock;

// The blocks of one pull.
struct BlockIds {
  std::vector<std::uint32_t> remote, local;
};

// Pulls again and again on a thread of its own, always as many at once as there are block lists,
// which share no local block. Started and stopped from one thread.
class Puller {
 public:
  Puller(const kvferry::Peer& peer, const kvferry::Pool& local, std::vector<BlockIds> ids);
  ~Puller();
  Puller(const Puller&) = delete;
  Puller& operator=(const Puller&) = delete;

  void start(const kvferry::TransferOptions& options);
  // Until so many pulls have ended since the start. Throws: what a pull threw.
  void wait_for(std::size_t pulls);
  // Lets what runs end. When each pull since the start had ended. Throws: what a pull threw.
  std::vector<Clock::time_point> stop();

  std::size_t at_once() const noexcept { return ids_.size(); }
  const std::vector<BlockIds>& ids() const noexcept { return ids_; }
  // Of the last pull. Requires: stopped, one has ended.
  const kvferry::TransferReport& report() const noexcept { return report_; }

 private:
  void run(const kvferry::TransferOptions& options);
  void finish(const kvferry::Transfer& transfer);

  kvferry::Peer peer_;
  kvferry::Pool local_;
  std::vector<BlockIds> ids_;
  std::thread thread_;
  std::atomic<bool> stop_ = false, failed_ = false;
  std::atomic<std::size_t> ended_ = 0;
  std::vector<Clock::time_point> ends_;
  std::exception_ptr error_;
  kvferry::TransferReport report_;
};

}  // namespace gemm_beside
