#pragma once

#include "path/ucx/ucp_engine.hpp"

namespace kvferry::path::ucx {

// A ucp endpoint: the way to one peer's worker, until it fails. Of the engine's thread; may be
// destroyed on any.
class Endpoint {
 public:
  using Clock = UcpEngine::Clock;

  // Throws: Error{unreachable} where no transport leads there.
  Endpoint(UcpEngine& engine, const std::vector<std::byte>& address);

  ucp_ep_h handle() const noexcept { return handle_; }
  const std::vector<Lane>& lanes() const noexcept { return lanes_; }
  const std::string& carriage() const noexcept { return carriage_; }
  bool usable() const noexcept { return why_.empty(); }
  const std::string& why() const noexcept { return why_; }
  // Gives it up; the first reason counts. Whatever is under way ends soon, and touches our memory
  // no more.
  void fail(std::string why);
  // The same, for a reason of UCX's.
  void lost(ucs_status_t status);
  // Closes it by force once it has failed; true while that is under way.
  bool tend() noexcept;
  // UCX has destroyed it.
  bool closed() const noexcept { return state_ == State::closed; }
  // An operation has come to an end.
  void heard() noexcept { heard_ = Clock::now(); }
  Clock::time_point last_heard() const noexcept { return heard_; }

 private:
  enum class State { open, closing, closed };
  static void on_error(void* self, ucp_ep_h, ucs_status_t status);
  std::vector<Lane> read_lanes() const;

  UcpEngine& engine_;
  ucp_ep_h handle_ = nullptr;
  State state_ = State::open;
  std::vector<Lane> lanes_;
  std::string carriage_;
  std::string why_;
  Clock::time_point heard_ = Clock::now();
};

}  // namespace kvferry::path::ucx
