#include "kvferry/transfer.hpp"

#include "base/time_after.hpp"
#include "node/transfer_impl.hpp"

namespace kvferry {

std::string_view to_string(Direction direction) noexcept {
  return direction == Direction::pull ? "pull" : "push";
}

std::string_view to_string(TransferState state) noexcept {
  switch (state) {
    case TransferState::running: return "running";
    case TransferState::done: return "done";
    case TransferState::failed: return "failed";
    case TransferState::cancelled: return "cancelled";
    case TransferState::deadline: return "deadline";
    case TransferState::peer_died: return "peer died";
  }
  return "unknown";
}

TransferState Transfer::poll() const { return state_->poll(); }

const TransferReport& Transfer::wait() const& {
  while (!state_->wait_until(std::chrono::steady_clock::now() + std::chrono::hours(1))) {
  }
  const TransferState state = state_->state();
  if (state != TransferState::done) throw Error(state_->error_code(), state_->error());
  return state_->report();
}

bool Transfer::wait_for(std::chrono::nanoseconds timeout) const {
  return state_->wait_until(time_after(std::chrono::steady_clock::now(), timeout));
}

bool Transfer::notify_completion(std::uint64_t tag) const { return state_->notify(tag); }

void Transfer::cancel() const noexcept { state_->abort(TransferState::cancelled, "cancelled"); }

TransferReport Transfer::wait() const&& { return static_cast<const Transfer&>(*this).wait(); }
const TransferReport& Transfer::report() const& { return state_->report(); }
TransferReport Transfer::report() const&& { return state_->report(); }
const std::string& Transfer::error() const& { return state_->error(); }
std::string Transfer::error() const&& { return state_->error(); }
const volatile std::uint32_t* Transfer::status_word() const noexcept {
  return state_->status_word();
}

}  // namespace kvferry
