#pragma once

#include <memory>

#include "path/host_shm/copy_threads.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// Host memory to host memory on one machine: memfds mapped once and copied with streaming stores on
// a few threads; a peer's private memory by process_vm_readv and process_vm_writev. Thread-safe.
class HostShmPath final : public Path {
 public:
  // Threads for copies; 0: as many as help. They are shared by all routes and start with the first.
  explicit HostShmPath(unsigned copy_threads);

  std::string_view name() const noexcept override { return "host_shm"; }
  PathVerdict judge(const detail::PoolImpl& local, const RemoteEnd& remote) const override;
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                              RemoteEnd remote) override;

 private:
  std::shared_ptr<host::CopyThreads> threads_;
};

}  // namespace kvferry::path
