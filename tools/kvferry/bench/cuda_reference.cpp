#include <fmt/format.h>

#include <chrono>

#include "bench/reference.hpp"
#include "bench/session.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"

namespace kvferry::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Memory at one end: a GPU's, or pinned host memory.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, std::uint64_t bytes) {
    if (!device.is_cuda()) {
      pinned_ = cuda::PinnedBuffer::allocate(bytes);
      return;
    }
    const cuda::DeviceGuard guard(device.ordinal);
    memory_ = cuda::DeviceBuffer::allocate(bytes);
  }
  std::byte* data() const noexcept { return memory_.data() ? memory_.data() : pinned_.data(); }

 private:
  cuda::DeviceBuffer memory_;
  cuda::PinnedBuffer pinned_;
};

class CudaReference final : public Reference {
 public:
  explicit CudaReference(const CudaEnds& ends)
      : from_device_(device_from(ends.from)),
        to_device_(device_from(ends.to)),
        copier_(device_from(ends.copier).ordinal) {
    const cuda::DeviceGuard guard(copier_);
    if (from_device_.is_cuda() && to_device_.is_cuda() && from_device_ != to_device_) {
      enable_peer(from_device_.ordinal, to_device_.ordinal);
      enable_peer(to_device_.ordinal, from_device_.ordinal);
    }
    stream_ = cuda::Stream::create();
  }
  ~CudaReference() override {
    const cuda::DeviceGuard guard(copier_);
    from_ = Buffer();
    to_ = Buffer();
    stream_ = {};
  }
  CudaReference(const CudaReference&) = delete;
  CudaReference& operator=(const CudaReference&) = delete;

  std::vector<ReferenceWay> ways(std::uint64_t bytes) override {
    if (bytes > bytes_) {
      const cuda::DeviceGuard guard(copier_);
      from_ = Buffer();
      to_ = Buffer();
      bytes_ = 0;
      from_ = Buffer(from_device_, bytes);
      to_ = Buffer(to_device_, bytes);
      bytes_ = bytes;
    }
    return {{"contiguous cudaMemcpyAsync", [this, bytes] { return copy(bytes); }}};
  }

 private:
  // A transfer's peer access is its own affair; the copy between buffers of cudaMalloc needs this.
  static void enable_peer(int device, int other) {
    const cuda::DeviceGuard guard(device);
    const cudaError_t result = cudaDeviceEnablePeerAccess(other, 0);
    if (result == cudaErrorPeerAccessAlreadyEnabled) {
      (void)cudaGetLastError();
      return;
    }
    cuda::check(result, fmt::format("cannot let cuda:{} reach cuda:{}", device, other));
  }

  double copy(std::uint64_t bytes) const {
    const cuda::DeviceGuard guard(copier_);
    const auto start = Clock::now();
    cuda::check(cudaMemcpyAsync(to_.data(), from_.data(), bytes, cudaMemcpyDefault, stream_.get()),
                "reference copy");
    cuda::check(cudaStreamSynchronize(stream_.get()), "reference copy");
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  Device from_device_, to_device_;
  int copier_;
  cuda::Stream stream_;
  Buffer from_, to_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Reference> make_cuda_reference(const CudaEnds& ends) {
  return std::make_unique<CudaReference>(ends);
}

}  // namespace kvferry::cli::bench
