#pragma once

#include <string>
#include <vector>

#include "path/cuda_ipc/choose.hpp"
#include "path/path.hpp"

namespace kvferry::path {

// How a pair of pools could be served by a GPU of this process.
struct CudaPair {
  // The GPUs that could copy, best first; none: it cannot be done. More than one only where mapping
  // alone tells which of them reaches the remote pool.
  std::vector<int> devices;
  Link link = Link::same_gpu;
  std::string reason;  // what it does, or why it cannot
};
// Maps nothing. Throws nothing for what a peer says.
CudaPair pair_up(const detail::PoolImpl& local, const RemoteEnd& remote);

}  // namespace kvferry::path
