#include <cstring>

#include "block_bytes.hpp"
#include "cuda_call.hpp"

namespace kvferry::peers {

// Synchronous copies on the legacy stream: nothing else of this process runs while they do.
void copy_in(int device, void* to, const void* from, std::size_t bytes) {
  if (device < 0) {
    std::memcpy(to, from, bytes);
    return;
  }
  cuda_call(cudaSetDevice(device), "cudaSetDevice");
  cuda_call(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "cudaMemcpy");
}

void copy_out(int device, void* to, const void* from, std::size_t bytes) {
  copy_in(device, to, from, bytes);
}

void set_bytes(int device, void* to, int value, std::size_t bytes) {
  if (device < 0) {
    std::memset(to, value, bytes);
    return;
  }
  cuda_call(cudaSetDevice(device), "cudaSetDevice");
  cuda_call(cudaMemset(to, value, bytes), "cudaMemset");
  // A memset of device memory returns before it is done.
  cuda_call(cudaDeviceSynchronize(), "cudaMemset");
}

}  // namespace kvferry::peers
