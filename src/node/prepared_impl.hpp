#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "node/node_fwd.hpp"
#include "node/transfer_impl.hpp"
#include "path/path.hpp"

namespace kvferry::detail {

// A checked and laid-out copy between two pools, to be started as often as one likes. Thread-safe.
//
// It does not keep the pools mapped, except while a CUDA graph may launch it: then until the peer
// or a pool goes, when retire() lets go.
class PreparedImpl {
 public:
  struct Setup {
    std::shared_ptr<PeerImpl> peer;
    std::weak_ptr<path::Route> route;
    std::unique_ptr<path::PreparedCopy> copy;
    TransferImpl::Start start;  // of each transfer, but for the times
    std::optional<std::chrono::nanoseconds> deadline;
  };
  explicit PreparedImpl(Setup setup) : setup_(std::move(setup)) {}
  ~PreparedImpl();
  PreparedImpl(const PreparedImpl&) = delete;
  PreparedImpl& operator=(const PreparedImpl&) = delete;

  const Setup& setup() const noexcept { return setup_; }
  path::PreparedCopy& copy() const noexcept { return *setup_.copy; }
  // Throws: Error{refused} where the pools are no longer mapped.
  std::shared_ptr<path::Route> route() const;

  // Throws: Error{invalid_argument}, Error{refused}.
  void capture(CudaStream stream);
  // Whether captured copies keep this route mapped.
  bool keeps(const path::Route* route) const noexcept;
  // Captured copies do nothing from now on; returns when none is running.
  void retire(ErrorCode why) noexcept;

 private:
  const Setup setup_;
  mutable std::mutex mutex_;
  std::shared_ptr<path::Route> kept_;  // while captured
};

}  // namespace kvferry::detail
