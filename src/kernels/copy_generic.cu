#include "kernels/copy_device.cuh"

namespace kvferry::kernels {
namespace {

template <typename V>
__device__ __forceinline__ V load(const V* p) {
  return __ldcs(p);
}
template <typename V>
__device__ __forceinline__ void store(V* p, V v) {
  __stcs(p, v);
}

// n bytes, of which those that fill whole, aligned Vs go as such, and the edges one by one.
// Requires: both addresses agree modulo sizeof(V).
template <typename V>
__device__ __forceinline__ void copy_as(const std::uint8_t* from, std::uint8_t* to, std::uint32_t n,
                                        std::uint32_t lane, std::uint32_t group) {
  constexpr std::uint32_t kWidth = sizeof(V);
  constexpr std::uint32_t kUnroll = 4;
  const std::uint32_t to_border =
      static_cast<std::uint32_t>(0 - reinterpret_cast<std::uintptr_t>(from)) & (kWidth - 1);
  const std::uint32_t head = min(n, to_border);
  const std::uint32_t whole = (n - head) / kWidth;
  const std::uint32_t tail = head + whole * kWidth;
  for (std::uint32_t i = lane; i < head; i += group) store(to + i, load(from + i));
  const V* f = reinterpret_cast<const V*>(from + head);
  V* t = reinterpret_cast<V*>(to + head);
  for (std::uint32_t i = lane; i < whole; i += group * kUnroll) {
    V v[kUnroll];
#pragma unroll
    for (std::uint32_t u = 0; u < kUnroll; ++u)
      if (i + u * group < whole) v[u] = load(f + i + u * group);
#pragma unroll
    for (std::uint32_t u = 0; u < kUnroll; ++u)
      if (i + u * group < whole) store(t + i + u * group, v[u]);
  }
  for (std::uint32_t i = tail + lane; i < n; i += group) store(to + i, load(from + i));
}

__device__ __forceinline__ void copy_any(const std::uint8_t* from, std::uint8_t* to,
                                         std::uint32_t n, std::uint32_t lane, std::uint32_t group) {
  const std::uintptr_t apart =
      reinterpret_cast<std::uintptr_t>(from) ^ reinterpret_cast<std::uintptr_t>(to);
  if ((apart & 15) == 0) return copy_as<int4>(from, to, n, lane, group);
  if ((apart & 7) == 0) return copy_as<int2>(from, to, n, lane, group);
  if ((apart & 3) == 0) return copy_as<int>(from, to, n, lane, group);
  if ((apart & 1) == 0) return copy_as<unsigned short>(from, to, n, lane, group);
  copy_as<std::uint8_t>(from, to, n, lane, group);
}

template <std::size_t kBytes>
__global__ void __launch_bounds__(1024) copy_generic(const __grid_constant__ Params<kBytes> p) {
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
    copy_any(cursor.source(), cursor.target(), cursor.bytes(), lane, group);
    cursor.advance();
    poll.tell(k);
  }
}

}  // namespace

const void* generic_kernel(std::uint32_t payload_class) {
  switch (payload_class) {
    case 1: return reinterpret_cast<const void*>(&copy_generic<kSmallPayload>);
    case 2: return reinterpret_cast<const void*>(&copy_generic<kMediumPayload>);
    case 3: return reinterpret_cast<const void*>(&copy_generic<kLargePayload>);
    default: return reinterpret_cast<const void*>(&copy_generic<0>);
  }
}

}  // namespace kvferry::kernels
