#pragma once

#include <memory>

#include "path/path.hpp"
#include "path/tcp/data_link.hpp"
#include "path/tcp/packed_rows.hpp"

namespace kvferry::path::tcp {

// A plan as this side moves it: our rows, and the blocks that the owner is to move.
struct LaidOut {
  std::shared_ptr<const PackedRows> rows;
  std::vector<IdRun> remote;
  std::uint32_t first_layer = 0, layers = 0;
};

// A local pool and one of a peer's, with streams between them. The remote map has no addresses of
// the owner's memory: they are in a space of their own, and mean nothing here.
class TcpRoute final : public Route {
 public:
  TcpRoute(std::shared_ptr<detail::PoolImpl> local, RemoteEnd remote);

  const plan::BlockMap& remote() const noexcept override { return remote_map_; }
  const plan::BlockMap& local() const noexcept override { return local_map_; }
  // Throws also: Error{unreachable}, Error{deadline}: no data stream could be opened.
  std::shared_ptr<Job> start(plan::Plan& plan, const JobOptions& options,
                             std::shared_ptr<JobObserver> observer) override;
  std::unique_ptr<PreparedCopy> prepare(plan::Plan plan, const JobOptions& options) override;

 private:
  void check(const JobOptions& options) const;
  LaidOut lay_out(const plan::Plan& plan, const JobOptions& options) const;
  std::shared_ptr<Job> start(const LaidOut& laid_out, const JobOptions& options,
                             std::shared_ptr<JobObserver> observer);

  const std::shared_ptr<detail::PoolImpl> local_;
  const RemoteEnd remote_;
  const plan::BlockMap local_map_;
  plan::BlockMap remote_map_;
};

}  // namespace kvferry::path::tcp
