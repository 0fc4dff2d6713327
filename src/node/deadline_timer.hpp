#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <utility>

namespace kvferry::detail {

// The timer of one transfer's deadline, given up with the transfer: a node that posts thousands of
// short transfers with long deadlines must not keep a timer for each. I/O thread only.
class DeadlineTimer {
 public:
  template <typename F>
  void begin(asio::io_context& io, std::chrono::steady_clock::time_point at, F late) {
    if (over_) return;
    timer_.emplace(io, at);
    timer_->async_wait([late = std::move(late)](std::error_code stopped) {
      if (!stopped) late();
    });
  }
  void end() {
    over_ = true;
    timer_.reset();
  }

 private:
  bool over_ = false;
  std::optional<asio::steady_timer> timer_;
};

}  // namespace kvferry::detail
