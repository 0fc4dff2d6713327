// The path in a build without CUDA: there to say why it cannot be used.
#include "kvferry/error.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"

namespace kvferry::path {

class CudaIpcPath::Impl {};

CudaIpcPath::CudaIpcPath(const CopyCosts& costs) : costs_(costs) {}
CudaIpcPath::~CudaIpcPath() = default;

PathVerdict CudaIpcPath::judge(const detail::PoolImpl&, const RemoteEnd&) const {
  PathVerdict verdict;
  verdict.path = name();
  verdict.reason = "built without CUDA";
  return verdict;
}

std::unique_ptr<Route> CudaIpcPath::open(const std::shared_ptr<detail::PoolImpl>&, RemoteEnd) {
  throw Error(ErrorCode::refused, "path cuda_ipc: built without CUDA");
}

}  // namespace kvferry::path
