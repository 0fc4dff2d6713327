#pragma once

#include <memory>
#include <vector>

#include "path/host_shm/copy_threads.hpp"
#include "path/host_shm/page_tables.hpp"
#include "path/host_shm/piece_mover.hpp"
#include "path/host_shm/remote_memory.hpp"
#include "path/path.hpp"

namespace kvferry::path::host {

// A local and a remote host pool, reachable. Its mappings' page tables fill in the background while
// it lives.
class HostShmRoute final : public Route {
 public:
  struct Setup {
    std::shared_ptr<detail::PoolImpl> local;
    RemoteMemory remote;
    memory::PoolOffer offer;
    bool writable = false;
    std::shared_ptr<PieceMover> mover;
    std::shared_ptr<CopyThreads> threads;  // started
  };
  explicit HostShmRoute(Setup setup);

  const plan::BlockMap& remote() const noexcept override { return setup_.remote.map; }
  const plan::BlockMap& local() const noexcept override { return local_; }
  // Throws also: Error{refused} for a push into a pool that is not writable.
  std::shared_ptr<Job> start(plan::Plan& plan, const JobOptions& options,
                             std::shared_ptr<JobObserver> observer) override;
  std::unique_ptr<PreparedCopy> prepare(plan::Plan plan, const JobOptions& options) override;

 private:
  const Setup setup_;
  const plan::BlockMap local_;
  // Declared after the mappings in setup_, so that they end before these go.
  std::vector<BackgroundFill> fills_;
};

}  // namespace kvferry::path::host
