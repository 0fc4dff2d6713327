#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>

#include "kernels/copy.hpp"
#include "kernels/copy_args.hpp"

namespace kvferry::kernels {
namespace {

const void* kernel_of(const Launch& launch, std::uint32_t payload_class) {
  switch (launch.family) {
    case Family::plain: return plain_kernel(payload_class);
    case Family::tma: return tma_kernel(launch.threads / 32, payload_class);
    case Family::generic: return generic_kernel(payload_class);
  }
  return nullptr;
}

std::uint32_t class_of(std::size_t payload) {
  std::uint32_t c = 0;
  while (kPayloadBytes[c] < payload) ++c;
  return c;
}

struct Grid {
  const void* kernel = nullptr;
  std::uint32_t ctas = 0, threads = 0, shared_bytes = 0;
};
Grid grid_of(const Launch& launch, std::uint32_t payload_class) {
  const bool tma = launch.family == Family::tma;
  return {kernel_of(launch, payload_class), launch.ctas, launch.threads, tma ? kTmaSharedBytes : 0};
}

// `params`: Params of the grid's payload class.
int start_grid(const Grid& grid, const void* params, ControlArgs control, void* stream) {
  void* arguments[] = {const_cast<void*>(params), &control};
  return cudaLaunchKernel(grid.kernel, dim3(grid.ctas), dim3(grid.threads), arguments,
                          grid.shared_bytes, static_cast<cudaStream_t>(stream));
}

template <std::size_t kBytes>
int launch_slice(const plan::Plan& plan, const Slice& slice, const Launch& launch,
                 std::uint32_t payload_class, const ControlArgs& control, void* stream) {
  Params<kBytes> params;
  params.args = make_args(plan, slice, launch);
  write_payload(plan, slice, params.payload);
  return start_grid(grid_of(launch, payload_class), &params, control, stream);
}

}  // namespace

int prepare_device(bool with_tma) {
  for (std::uint32_t payload_class = 0; payload_class < kPayloadClasses; ++payload_class) {
    for (const void* kernel : {plain_kernel(payload_class), generic_kernel(payload_class)}) {
      cudaFuncAttributes loaded;
      if (const cudaError_t e = cudaFuncGetAttributes(&loaded, kernel); e != cudaSuccess) return e;
    }
    if (!with_tma) continue;
    for (const std::uint32_t rings : {kTmaFewRings, kTmaManyRings}) {
      const cudaError_t e = cudaFuncSetAttribute(tma_kernel(rings, payload_class),
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(kTmaSharedBytes));
      if (e != cudaSuccess) return e;
    }
  }
  return cudaSuccess;
}

int launch_copy(const plan::Plan& plan, const Launch& launch, const Control& control,
                void* stream) {
  Slicer slicer(plan);
  Slice slice;
  int error = cudaSuccess;
  for (std::uint32_t i = 0; error == cudaSuccess && slicer.next(slice); ++i) {
    const ControlArgs c = make_control(control, i);
    switch (const std::uint32_t k = class_of(payload_bytes(plan, slice)); k) {
      case 0: error = launch_slice<kPayloadBytes[0]>(plan, slice, launch, k, c, stream); break;
      case 1: error = launch_slice<kPayloadBytes[1]>(plan, slice, launch, k, c, stream); break;
      case 2: error = launch_slice<kPayloadBytes[2]>(plan, slice, launch, k, c, stream); break;
      default: error = launch_slice<kPayloadBytes[3]>(plan, slice, launch, k, c, stream); break;
    }
  }
  return error;
}

// One launch: its grid and, in 64-bit words, the Params of its payload class.
struct PackedCopy::Part {
  Grid grid;
  std::vector<std::uint64_t> params;
};

PackedCopy::PackedCopy(const plan::Plan& plan, const Launch& launch) {
  static_assert(sizeof(CopyArgs) % sizeof(std::uint64_t) == 0);
  constexpr std::size_t kArgsWords = sizeof(CopyArgs) / sizeof(std::uint64_t);
  Slicer slicer(plan);
  for (Slice slice; slicer.next(slice);) {
    const std::uint32_t k = class_of(payload_bytes(plan, slice));
    Part part{grid_of(launch, k), {}};
    // All of the parameters are read by the launch, used or not.
    part.params.resize(kArgsWords + kPayloadBytes[k] / sizeof(std::uint64_t));
    const CopyArgs args = make_args(plan, slice, launch);
    std::memcpy(part.params.data(), &args, sizeof args);
    write_payload(plan, slice, part.params.data() + kArgsWords);
    parts_.push_back(std::move(part));
  }
}
PackedCopy::~PackedCopy() = default;

std::uint32_t PackedCopy::launches() const noexcept {
  return static_cast<std::uint32_t>(parts_.size());
}

int PackedCopy::start(const Control& control, void* stream) const {
  int error = cudaSuccess;
  for (std::uint32_t i = 0; error == cudaSuccess && i < launches(); ++i)
    error = start_grid(parts_[i].grid, parts_[i].params.data(), make_control(control, i), stream);
  return error;
}

}  // namespace kvferry::kernels
