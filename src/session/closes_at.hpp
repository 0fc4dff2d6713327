#pragma once

#include <asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <system_error>

namespace kvferry::session {

// Closes a socket when the time is up: the operation in flight then ends with operation_aborted.
template <typename Socket>
class ClosesAt {
 public:
  ClosesAt(Socket& socket, std::chrono::steady_clock::time_point until)
      : timer_(socket.get_executor(), until) {
    timer_.async_wait([&socket, state = state_](std::error_code stopped) {
      // A timer that had already expired runs its handler after we are gone; the socket is, too.
      if (stopped || !state->armed) return;
      state->fired = true;
      std::error_code ignored;
      socket.close(ignored);
    });
  }
  ~ClosesAt() { state_->armed = false; }
  ClosesAt(const ClosesAt&) = delete;
  ClosesAt& operator=(const ClosesAt&) = delete;
  bool fired() const noexcept { return state_->fired; }

 private:
  struct State {
    bool armed = true;
    bool fired = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  asio::steady_timer timer_;
};

}  // namespace kvferry::session
