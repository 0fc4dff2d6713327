#include <cuda_runtime_api.h>

#include "kernels/copy.hpp"
#include "kernels/copy_args.hpp"

namespace kvferry::kernels {
namespace {

const void* kernel_of(const Launch& launch, std::uint32_t payload_class) {
  switch (launch.family) {
    case Family::plain: return plain_kernel(launch.unroll, payload_class);
    case Family::tma: return tma_kernel(payload_class);
    case Family::generic: return generic_kernel(payload_class);
  }
  return nullptr;
}

cudaError_t launch_with(const Launch& launch, std::uint32_t payload_class, void* params,
                        void* stream) {
  const bool tma = launch.family == Family::tma;
  void* arguments[] = {params};
  return cudaLaunchKernel(kernel_of(launch, payload_class), dim3(launch.ctas),
                          dim3(tma ? kTmaThreads : launch.threads), arguments,
                          tma ? kTmaSharedBytes : 0, static_cast<cudaStream_t>(stream));
}

template <std::size_t kBytes>
cudaError_t launch_inline(const plan::Plan& plan, const Launch& launch, const CopyArgs& args,
                          std::uint32_t payload_class, void* stream) {
  Params<kBytes> params;
  params.args = args;
  write_payload(plan, params.payload);
  return launch_with(launch, payload_class, &params, stream);
}

cudaError_t launch_through_memory(const plan::Plan& plan, const Launch& launch, CopyArgs args,
                                  const Staging& staging, std::size_t bytes, void* stream) {
  if (staging.pinned == nullptr || staging.device == nullptr) return cudaErrorInvalidValue;
  write_payload(plan, reinterpret_cast<std::uint64_t*>(staging.pinned));
  const cudaError_t uploaded =
      cudaMemcpyAsync(staging.device, staging.pinned, bytes, cudaMemcpyHostToDevice,
                      static_cast<cudaStream_t>(stream));
  if (uploaded != cudaSuccess) return uploaded;
  args.payload = reinterpret_cast<const std::uint64_t*>(staging.device);
  Params<0> params;
  params.args = args;
  return launch_with(launch, 0, &params, stream);
}

}  // namespace

int prepare_device(bool with_tma) {
  for (std::uint32_t payload_class = 0; payload_class < kPayloadClasses; ++payload_class) {
    const void* kernels[] = {plain_kernel(4, payload_class), plain_kernel(8, payload_class),
                             generic_kernel(payload_class)};
    for (const void* kernel : kernels) {
      cudaFuncAttributes loaded;
      if (const cudaError_t e = cudaFuncGetAttributes(&loaded, kernel); e != cudaSuccess) return e;
    }
    if (!with_tma) continue;
    const cudaError_t e =
        cudaFuncSetAttribute(tma_kernel(payload_class), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(kTmaSharedBytes));
    if (e != cudaSuccess) return e;
  }
  return cudaSuccess;
}

int launch_copy(const plan::Plan& plan, const Launch& launch, const Control& control,
                const Staging& staging, void* stream) {
  const CopyArgs args = make_args(plan, launch, control);
  const std::size_t bytes = payload_bytes(plan);
  if (bytes <= kSmallPayload) return launch_inline<kSmallPayload>(plan, launch, args, 1, stream);
  if (bytes <= kMediumPayload) return launch_inline<kMediumPayload>(plan, launch, args, 2, stream);
  if (bytes <= kLargePayload) return launch_inline<kLargePayload>(plan, launch, args, 3, stream);
  return launch_through_memory(plan, launch, args, staging, bytes, stream);
}

}  // namespace kvferry::kernels
