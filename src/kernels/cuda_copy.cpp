#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>

#include "kernels/copy.hpp"
#include "kernels/copy_args.hpp"

namespace kvferry::kernels {
namespace {

// A worker looks at the abort word about once in this many bytes: 20 us at 3 GB/s, what a worker
// moves where many share a link.
constexpr std::uint32_t kPollBytes = 65536;
// A ring must not wait for its own question: a round trip to the host takes about one stage.
constexpr std::uint32_t kMinRingPoll = 8;

std::size_t payload_words(const plan::Plan& plan) {
  return (plan.source.even ? 0 : plan.planes) + (plan.target.even ? 0 : plan.planes) + plan.blocks;
}

SideArgs side_args(const plan::Side& side, std::uint32_t table) {
  SideArgs args;
  args.base = side.plane_base.front();
  args.plane_stride = side.plane_stride;
  args.block_stride = side.block_stride;
  args.table = table;
  args.even = side.even ? 1 : 0;
  return args;
}

CopyArgs make_args(const plan::Plan& plan, const Launch& launch, const Control& control) {
  CopyArgs a;
  const std::uint32_t target_table = plan.source.even ? 0 : plan.planes;
  a.source = side_args(plan.source, 0);
  a.target = side_args(plan.target, target_table);
  a.pairs = target_table + (plan.target.even ? 0 : plan.planes);
  a.workers = launch.family == Family::tma ? launch.ctas * kTmaRings
                                           : launch.ctas * (launch.threads / launch.group);
  a.group = launch.group;
  a.blocks = plan.blocks;
  a.chunk_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(launch.chunk_bytes, plan.row_bytes));
  a.chunks = static_cast<std::uint32_t>((plan.row_bytes + a.chunk_bytes - 1) / a.chunk_bytes);
  a.tail_bytes = static_cast<std::uint32_t>(
      plan.row_bytes - static_cast<std::uint64_t>(a.chunks - 1) * a.chunk_bytes);
  const std::uint64_t rows = static_cast<std::uint64_t>(plan.blocks) * plan.planes;
  a.rounds = rows * a.chunks / a.workers;
  a.extra = static_cast<std::uint32_t>(rows * a.chunks % a.workers);
  a.step_chunk = a.workers % a.chunks;
  a.step_block = a.workers / a.chunks % a.blocks;
  a.step_plane = a.workers / a.chunks / a.blocks;
  std::uint32_t poll = std::bit_ceil(std::max(1u, kPollBytes / a.chunk_bytes));
  if (launch.family == Family::tma) poll = std::max(poll, kMinRingPoll);
  a.poll_mask = poll - 1;
  a.handshake = control.handshake ? 1 : 0;
  a.words = control.words;
  return a;
}

void write_payload(const plan::Plan& plan, std::uint64_t* out) {
  if (!plan.source.even) out = std::copy_n(plan.source.plane_base.begin(), plan.planes, out);
  if (!plan.target.even) out = std::copy_n(plan.target.plane_base.begin(), plan.planes, out);
  for (const plan::Run& run : plan.runs)
    for (std::uint32_t i = 0; i < run.count; ++i)
      *out++ = (run.src + i) | static_cast<std::uint64_t>(run.dst + i) << 32;
}

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

std::size_t payload_bytes(const plan::Plan& plan) {
  return payload_words(plan) * sizeof(std::uint64_t);
}

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
