#include "kernels/copy_device.cuh"

namespace kvferry::kernels {
namespace {

// Copies n 16-byte vectors with kUnroll loads in flight a thread.
template <int kUnroll>
__device__ __forceinline__ void copy_vectors(const int4* from, int4* to, std::uint32_t n,
                                             std::uint32_t lane, std::uint32_t group) {
  for (std::uint32_t i = lane; i < n; i += group * kUnroll) {
    int4 v[kUnroll];
#pragma unroll
    for (std::uint32_t u = 0; u < kUnroll; ++u)
      if (i + u * group < n) v[u] = ptx::load_streaming(from + i + u * group);
#pragma unroll
    for (std::uint32_t u = 0; u < kUnroll; ++u)
      if (i + u * group < n) ptx::store_streaming(to + i + u * group, v[u]);
  }
}

template <int kUnroll, std::size_t kBytes>
__global__ void __launch_bounds__(1024) copy_plain(const __grid_constant__ Params<kBytes> p) {
  __shared__ volatile std::uint32_t stop;
  if (threadIdx.x == 0) stop = aborted_at_start(p.args) ? 1 : 0;
  __syncthreads();
  const std::uint32_t group = p.args.group;
  const std::uint32_t in_cta = threadIdx.x / group;
  const std::uint32_t lane = threadIdx.x - in_cta * group;
  const std::uint32_t worker = in_cta * gridDim.x + blockIdx.x;
  const std::uint64_t items = items_of(p.args, worker);
  Cursor<kBytes> cursor(p, worker);
  AbortPoll poll(p.args, threadIdx.x == 0, &stop);
  for (std::uint64_t k = 0; k < items; ++k) {
    if (stop != 0) {
      ptx::store_system(&p.args.words->stopped, 1);
      return;
    }
    poll.ask(k, items);
    copy_vectors<kUnroll>(reinterpret_cast<const int4*>(cursor.source()),
                          reinterpret_cast<int4*>(cursor.target()), cursor.bytes() / 16, lane,
                          group);
    cursor.advance();
    poll.tell(k);
  }
}

template <int kUnroll>
const void* pick(std::uint32_t payload_class) {
  switch (payload_class) {
    case 1: return reinterpret_cast<const void*>(&copy_plain<kUnroll, kSmallPayload>);
    case 2: return reinterpret_cast<const void*>(&copy_plain<kUnroll, kMediumPayload>);
    case 3: return reinterpret_cast<const void*>(&copy_plain<kUnroll, kLargePayload>);
    default: return reinterpret_cast<const void*>(&copy_plain<kUnroll, 0>);
  }
}

}  // namespace

const void* plain_kernel(std::uint32_t unroll, std::uint32_t payload_class) {
  return unroll > 4 ? pick<8>(payload_class) : pick<4>(payload_class);
}

}  // namespace kvferry::kernels
