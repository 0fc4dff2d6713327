#pragma once

#include <memory>

#include "path/path.hpp"

namespace kvferry::path {

// Any memory to any memory, over TCP streams between the two processes: the requester sends ids
// once, the owner of the memory checks them and moves its own blocks. Works between hosts and on
// one, where it is the slowest of all. Thread-safe.
class TcpPath final : public Path {
 public:
  std::string_view name() const noexcept override { return "tcp"; }
  PathVerdict judge(const detail::PoolImpl& local, const RemoteEnd& remote) const override;
  // Opens streams for data where there are none yet. Throws also: Error{unreachable},
  // Error{deadline}.
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                              RemoteEnd remote) override;
};

}  // namespace kvferry::path
