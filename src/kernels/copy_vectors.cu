#include "kernels/copy_device.cuh"

// Copies by loads and stores of groups of threads, each group a worker of its own.
namespace kvferry::kernels {
namespace {

// Bytes before the first 16-byte border of an address.
__device__ __forceinline__ std::uint32_t to_border(const void* p) {
  return static_cast<std::uint32_t>(0 - reinterpret_cast<std::uintptr_t>(p)) & 15;
}

__device__ __forceinline__ void copy_bytes(const std::uint8_t* from, std::uint8_t* to,
                                           std::uint32_t n, std::uint32_t lane,
                                           std::uint32_t group) {
  for (std::uint32_t i = lane; i < n; i += group) __stcs(to + i, __ldcs(from + i));
}

// Copies n 16-byte vectors with kUnroll loads in flight a thread.
template <std::uint32_t kUnroll>
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

// The 16 bytes that begin `shift` bits into word kWord of the 32 bytes a, b.
template <int kWord>
__device__ __forceinline__ int4 shifted(const int4& a, const int4& b, std::uint32_t shift) {
  const std::uint32_t w[8] = {static_cast<std::uint32_t>(a.x), static_cast<std::uint32_t>(a.y),
                              static_cast<std::uint32_t>(a.z), static_cast<std::uint32_t>(a.w),
                              static_cast<std::uint32_t>(b.x), static_cast<std::uint32_t>(b.y),
                              static_cast<std::uint32_t>(b.z), static_cast<std::uint32_t>(b.w)};
  constexpr int kLast = kWord + 4 < 8 ? kWord + 4 : 7;  // word 8 is asked for with no shift only
  return make_int4(static_cast<int>(__funnelshift_r(w[kWord], w[kWord + 1], shift)),
                   static_cast<int>(__funnelshift_r(w[kWord + 1], w[kWord + 2], shift)),
                   static_cast<int>(__funnelshift_r(w[kWord + 2], w[kWord + 3], shift)),
                   static_cast<int>(__funnelshift_r(w[kWord + 3], w[kLast], shift)));
}

// Threads of the caller's warp that are in its group. Requires: the group is at most a warp.
__device__ __forceinline__ std::uint32_t group_mask(std::uint32_t lane, std::uint32_t group) {
  return (group == 32 ? ~0u : (1u << group) - 1) << (threadIdx.x % 32 - lane);
}

// Writes n vectors to an aligned target from a source that begins within the vector at `from`: word
// kWord, bit `shift`, not its first byte. Loads whole vectors, of each of which it needs at least a
// byte, and takes the second of every pair from the neighbouring thread. Requires: all of the group
// calls, and it is at most a warp.
template <int kWord>
__device__ __forceinline__ void copy_shifted(const int4* from, int4* to, std::uint32_t n,
                                             std::uint32_t shift, std::uint32_t lane,
                                             std::uint32_t group) {
  constexpr std::uint32_t kUnroll = 4;
  const std::uint32_t first = threadIdx.x % 32 - lane;  // of the group, in its warp
  const std::uint32_t mask = group_mask(lane, group);
  const auto from_lane = [&](const int4& v, std::uint32_t which) {
    const int source = static_cast<int>(first + which);
    return make_int4(__shfl_sync(mask, v.x, source), __shfl_sync(mask, v.y, source),
                     __shfl_sync(mask, v.z, source), __shfl_sync(mask, v.w, source));
  };
  for (std::uint32_t start = 0; start < n; start += group * kUnroll) {
    int4 v[kUnroll + 1];
#pragma unroll
    for (std::uint32_t u = 0; u <= kUnroll; ++u) {
      const std::uint32_t i = start + u * group + lane;
      v[u] = make_int4(0, 0, 0, 0);
      // One vector past the last is needed too; of the last round only the first thread's.
      if (i <= n && (u < kUnroll || lane == 0)) v[u] = ptx::load_streaming(from + i);
    }
#pragma unroll
    for (std::uint32_t u = 0; u < kUnroll; ++u) {
      const int4 beside = from_lane(v[u], (lane + 1) % group);
      const int4 next_first = from_lane(v[u + 1], 0);
      const std::uint32_t i = start + u * group + lane;
      if (i < n)
        ptx::store_streaming(to + i,
                             shifted<kWord>(v[u], lane + 1 == group ? next_first : beside, shift));
    }
  }
}

// Sources and targets that are multiples of 16 throughout.
struct Aligned {
  static constexpr bool kShuffles = false;
  static __device__ __forceinline__ void copy(const std::uint8_t* from, std::uint8_t* to,
                                              std::uint32_t n, std::uint32_t lane,
                                              std::uint32_t group) {
    copy_vectors<kLoadsInFlight>(reinterpret_cast<const int4*>(from), reinterpret_cast<int4*>(to),
                                 n / 16, lane, group);
  }
};

// Any alignment: byte by byte to the target's first border and after its last.
struct Unaligned {
  static constexpr bool kShuffles = true;
  static __device__ __forceinline__ void copy(const std::uint8_t* from, std::uint8_t* to,
                                              std::uint32_t n, std::uint32_t lane,
                                              std::uint32_t group) {
    const std::uint32_t head = min(n, to_border(to));
    const std::uint32_t whole = (n - head) / 16, tail = head + whole * 16;
    copy_bytes(from, to, head, lane, group);
    vectors(from + head, reinterpret_cast<int4*>(to + head), whole, lane, group);
    copy_bytes(from + tail, to + tail, n - tail, lane, group);
  }
  static __device__ __forceinline__ void vectors(const std::uint8_t* from, int4* to,
                                                 std::uint32_t n, std::uint32_t lane,
                                                 std::uint32_t group) {
    const std::uint32_t past =
        static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(from)) & 15;
    const int4* border = reinterpret_cast<const int4*>(from - past);
    const std::uint32_t shift = past % 4 * 8;
    if (past == 0) return copy_vectors<4>(border, to, n, lane, group);
    if (n == 0) return;
    switch (past / 4) {
      case 0: return copy_shifted<0>(border, to, n, shift, lane, group);
      case 1: return copy_shifted<1>(border, to, n, shift, lane, group);
      case 2: return copy_shifted<2>(border, to, n, shift, lane, group);
      default: return copy_shifted<3>(border, to, n, shift, lane, group);
    }
  }
};

template <typename Mover, std::size_t kBytes>
__global__ void __launch_bounds__(1024)
    copy_by_threads(const __grid_constant__ Params<kBytes> p,
                    const __grid_constant__ ControlArgs control) {
  __shared__ volatile std::uint32_t stop;
  if (threadIdx.x == 0) stop = aborted_at_start(control) ? 1 : 0;
  __syncthreads();
  const std::uint32_t group = p.args.group;
  const std::uint32_t in_cta = threadIdx.x / group;
  const std::uint32_t lane = threadIdx.x - in_cta * group;
  const std::uint32_t worker = in_cta * gridDim.x + blockIdx.x;
  const std::uint64_t items = items_of(p.args, worker);
  Cursor<kBytes> cursor(p, worker);
  AbortPoll poll(control, p.args.poll_mask, threadIdx.x == 0, &stop);
  for (std::uint64_t k = 0; k < items; ++k) {
    bool stopping = stop != 0;
    // Threads that meet in shuffles go on or stop as one.
    if constexpr (Mover::kShuffles)
      stopping = __shfl_sync(group_mask(lane, group), stopping ? 1 : 0,
                             static_cast<int>(threadIdx.x % 32 - lane)) != 0;
    if (stopping) {
      ptx::store_system(&control.words->stopped, 1);
      break;
    }
    poll.ask(k, items);
    Mover::copy(cursor.source(), cursor.target(), cursor.bytes(), lane, group);
    cursor.advance();
    poll.tell(k);
  }
  tell_end(control);
}

template <typename Mover, std::size_t... kClass>
const void* pick(std::uint32_t payload_class, std::index_sequence<kClass...>) {
  static const void* const kernels[] = {
      reinterpret_cast<const void*>(&copy_by_threads<Mover, kPayloadBytes[kClass]>)...};
  return kernels[payload_class];
}

}  // namespace

const void* plain_kernel(std::uint32_t payload_class) {
  return pick<Aligned>(payload_class, PayloadClasses());
}
const void* generic_kernel(std::uint32_t payload_class) {
  return pick<Unaligned>(payload_class, PayloadClasses());
}

}  // namespace kvferry::kernels
