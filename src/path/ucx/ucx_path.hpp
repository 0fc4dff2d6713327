#pragma once

#include "path/path.hpp"

namespace kvferry::path {

// One-sided gets and puts by UCX: over RDMA between hosts, and over whatever transports the user
// named.
class UcxPath final : public Path {
 public:
  std::string_view name() const noexcept override { return "ucx"; }
  PathVerdict judge(const detail::PoolImpl& local, const RemoteEnd& remote) const override;
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                              RemoteEnd remote) override;
};

}  // namespace kvferry::path
