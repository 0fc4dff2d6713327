#pragma once

#include <memory>

#include "path/cuda_ipc/choose.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// Pools of which at least one is on a GPU that this machine's processes share: on one GPU, on two
// that reach each other (NVLink, PCIe), or host memory pinned for the GPU. Maps the remote pool
// once; a transfer is one kernel launch, or copies by the copy engine. The GPU of the local pool
// does the work; a host pool's is done by the other's.
class CudaIpcPath final : public Path {
 public:
  explicit CudaIpcPath(const CopyCosts& costs = {});
  ~CudaIpcPath() override;
  std::string_view name() const noexcept override { return "cuda_ipc"; }
  PathVerdict judge(const detail::PoolImpl& local, const RemoteEnd& remote) const override;
  std::unique_ptr<Route> open(const std::shared_ptr<detail::PoolImpl>& local,
                              RemoteEnd remote) override;

 private:
  class Impl;
  std::unique_ptr<Route> open_on(int device, Link link,
                                 const std::shared_ptr<detail::PoolImpl>& local,
                                 const RemoteEnd& remote);
  const CopyCosts costs_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvferry::path
