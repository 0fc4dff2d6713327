#include <optional>

#include "bench/bare_launch.hpp"
#include "bench/session.hpp"
#include "kernels/copy.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"
#include "plan/plan.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kRow = 16;

class CudaBareLaunch final : public BareLaunch {
 public:
  CudaBareLaunch(int device, std::uint32_t ids, std::uint32_t pool_blocks) : device_(device) {
    const cuda::DeviceGuard guard(device_);
    cuda::check(static_cast<cudaError_t>(kernels::prepare_device(false)), "cannot load a kernel");
    stream_ = cuda::Stream::create();
    memory_ = cuda::DeviceBuffer::allocate(2 * ids * kRow);
    relay_ = cuda::DeviceBuffer::allocate(kernels::kRelayBytes);
    cuda::check(cudaMemset(relay_.data(), 0, kernels::kRelayBytes), "cannot clear a relay");
    words_ = cuda::PinnedBuffer::allocate(sizeof(kernels::Words));
    new (words_.data()) kernels::Words();
    plan::Plan plan;
    plan.row_bytes = kRow;
    plan.runs = {{0, 0, ids}};
    plan.blocks = ids;
    plan.planes = 1;
    plan.id_limit = pool_blocks;
    const auto address = reinterpret_cast<std::uint64_t>(memory_.data());
    plan.source = {{address}, kRow, true, 0};
    plan.target = {{address + ids * kRow}, kRow, true, 0};
    kernels::Launch launch;
    launch.ctas = 1;
    launch.group = 1;
    launch.chunk_bytes = kRow;
    copy_.emplace(plan, launch);
  }
  ~CudaBareLaunch() override {
    const cuda::DeviceGuard guard(device_);
    copy_.reset();
    words_ = {};
    relay_ = {};
    memory_ = {};
    stream_ = {};
  }
  CudaBareLaunch(const CudaBareLaunch&) = delete;
  CudaBareLaunch& operator=(const CudaBareLaunch&) = delete;

  void start() override {
    const cuda::DeviceGuard guard(device_);
    kernels::Control control;
    control.words = reinterpret_cast<kernels::Words*>(words_.data());
    control.relay = reinterpret_cast<std::uint32_t*>(relay_.data());
    cuda::check(static_cast<cudaError_t>(copy_->start(control, stream_.get())),
                "cannot launch a kernel");
  }
  void wait() override { cuda::check(cudaStreamSynchronize(stream_.get()), "a kernel failed"); }

 private:
  const int device_;
  cuda::Stream stream_;
  cuda::DeviceBuffer memory_, relay_;
  cuda::PinnedBuffer words_;
  std::optional<kernels::PackedCopy> copy_;
};

}  // namespace

std::unique_ptr<BareLaunch> make_bare_launch(const std::string& device, std::uint32_t ids,
                                             std::uint32_t pool_blocks) {
  return std::make_unique<CudaBareLaunch>(device_from(device).ordinal, ids, pool_blocks);
}

}  // namespace kvferry::cli::bench
