#include "path/cuda_ipc/cuda_ipc_path.hpp"
#include "path/host_shm/host_shm_path.hpp"
#include "path/path.hpp"
#include "path/tcp/tcp_path.hpp"
#include "path/ucx/ucx_path.hpp"

namespace kvferry::path {

std::vector<std::unique_ptr<Path>> make_paths(unsigned copy_threads, const CopyCosts& costs) {
  std::vector<std::unique_ptr<Path>> paths;
  paths.push_back(std::make_unique<CudaIpcPath>(costs));
  paths.push_back(std::make_unique<HostShmPath>(copy_threads));
  paths.push_back(std::make_unique<UcxPath>());
  paths.push_back(std::make_unique<TcpPath>());
  return paths;
}

}  // namespace kvferry::path
