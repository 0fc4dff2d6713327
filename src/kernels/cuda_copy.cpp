#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <memory>

#include "kernels/copy.hpp"
#include "kernels/copy_args.hpp"

namespace kvferry::kernels {
namespace {

// The kernels as the driver knows them, in every context: launching by these takes 0.9 us less than
// by their addresses (measured, 2 x H200).
class Kernels {
 public:
  // A cudaError_t.
  int load() {
    if (const cudaError_t e = find("cuLaunchKernel", 4000, launch_); e != cudaSuccess) return e;
    // Older drivers load a kernel when it is first launched.
    (void)find("cuKernelGetFunction", 12000, function_of_);
    (void)find("cuFuncLoad", 12040, load_function_);
    for (std::uint32_t c = 0; c < kPayloadClasses; ++c) {
      const void* symbols[kVariants] = {plain_kernel(c), tma_kernel(kTmaFewRings, c),
                                        tma_kernel(kTmaManyRings, c), generic_kernel(c)};
      for (std::uint32_t v = 0; v < kVariants; ++v) {
        cudaKernel_t kernel = nullptr;
        if (const cudaError_t e = cudaGetKernel(&kernel, symbols[v]); e != cudaSuccess) return e;
        kernels_[c][v] = reinterpret_cast<CUfunction>(kernel);
      }
    }
    return cudaSuccess;
  }
  CUfunction of(const Launch& launch, std::uint32_t payload_class) const {
    const auto& variants = kernels_[payload_class];
    if (launch.family == Family::tma) return variants[launch.threads / 32 > kTmaFewRings ? 2 : 1];
    return variants[launch.family == Family::plain ? 0 : 3];
  }
  PFN_cuLaunchKernel_v4000 launch() const { return launch_; }
  // Into the current context, now: the first launch would do it, and wait for what runs on the GPU.
  int load_into_context() const {
    if (function_of_ == nullptr || load_function_ == nullptr) return cudaSuccess;
    for (const auto& variants : kernels_)
      for (const CUfunction kernel : variants) {
        CUfunction here = nullptr;
        if (const CUresult e = function_of_(&here, reinterpret_cast<CUkernel>(kernel)); e != 0)
          return static_cast<int>(e);
        if (const CUresult e = load_function_(here); e != 0) return static_cast<int>(e);
      }
    return cudaSuccess;
  }

 private:
  static constexpr std::uint32_t kVariants = 4;
  template <typename F>
  static cudaError_t find(const char* name, unsigned version, F& function) {
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    void* address = nullptr;
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableDefault, &found);
#else
    (void)version;
    const cudaError_t error = cudaGetDriverEntryPoint(name, &address, cudaEnableDefault, &found);
#endif
    if (error != cudaSuccess) return error;
    if (found != cudaDriverEntryPointSuccess) return cudaErrorSymbolNotFound;
    function = reinterpret_cast<F>(address);
    return cudaSuccess;
  }
  PFN_cuLaunchKernel_v4000 launch_ = nullptr;
  CUresult (*function_of_)(CUfunction*, CUkernel) = nullptr;
  CUresult (*load_function_)(CUfunction) = nullptr;
  CUfunction kernels_[kPayloadClasses][kVariants] = {};
};

// Loaded by the first prepare_device(), which comes before every launch.
Kernels& kernels() {
  static Kernels all;
  return all;
}

std::uint32_t class_of(std::size_t payload) {
  std::uint32_t c = 0;
  while (kPayloadBytes[c] < payload) ++c;
  return c;
}

struct Grid {
  CUfunction kernel = nullptr;
  std::uint32_t ctas = 0, threads = 0, shared_bytes = 0;
};
Grid grid_of(const Launch& launch, std::uint32_t payload_class) {
  const bool tma = launch.family == Family::tma;
  return {kernels().of(launch, payload_class), launch.ctas, launch.threads,
          tma ? kTmaSharedBytes : 0};
}

// `params`: Params of the grid's payload class. Errors of the driver have the runtime's numbers.
int start_grid(const Grid& grid, const void* params, ControlArgs control, void* stream) {
  void* arguments[] = {const_cast<void*>(params), &control};
  return kernels().launch()(grid.kernel, grid.ctas, 1, 1, grid.threads, 1, 1, grid.shared_bytes,
                            static_cast<CUstream>(stream), arguments, nullptr);
}

template <std::size_t kBytes>
int launch_slice(const plan::Plan& plan, const Slice& slice, const Launch& launch,
                 std::uint32_t payload_class, const ControlArgs& control, void* stream) {
  Params<kBytes> params;
  params.args = make_args(plan, slice, launch);
  write_payload(plan, slice, params.payload);
  return start_grid(grid_of(launch, payload_class), &params, control, stream);
}

using LaunchSlice = decltype(&launch_slice<kPayloadBytes[0]>);
template <std::size_t... kClass>
LaunchSlice launch_slice_of(std::uint32_t payload_class, std::index_sequence<kClass...>) {
  static constexpr LaunchSlice kLaunch[] = {&launch_slice<kPayloadBytes[kClass]>...};
  return kLaunch[payload_class];
}

}  // namespace

int prepare_device(bool with_tma) {
  static const int loaded_once = kernels().load();
  if (loaded_once != cudaSuccess) return loaded_once;
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
  return kernels().load_into_context();
}

int launch_copy(const plan::Plan& plan, const Launch& launch, const Control& control,
                void* stream) {
  Slicer slicer(plan);
  Slice slice;
  int error = cudaSuccess;
  const std::uint32_t count = slicer.count();
  for (std::uint32_t i = 0; error == cudaSuccess && slicer.next(slice); ++i) {
    const ControlArgs c = make_control(control, i, count);
    const std::uint32_t k = class_of(payload_bytes(plan, slice));
    error = launch_slice_of(k, PayloadClasses())(plan, slice, launch, k, c, stream);
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
    error = start_grid(parts_[i].grid, parts_[i].params.data(),
                       make_control(control, i, launches()), stream);
  return error;
}

}  // namespace kvferry::kernels
