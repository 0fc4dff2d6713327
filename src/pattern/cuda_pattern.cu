#include "pattern/cuda_pattern.cuh"

namespace kvferry::pattern {
namespace {

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kVectorBytes = 16;

// Where an element stands in its block.
struct Place {
  std::uint32_t kv, token, head, dim;
};

__device__ __forceinline__ Place place_of(const PatternArgs& a, std::uint64_t element,
                                          std::uint32_t part) {
  // A row is at most 1 GiB, so its elements count in 32 bits.
  const auto e = static_cast<std::uint32_t>(element);
  Place p;
  std::uint32_t rest = e / a.dims;
  p.dim = e - rest * a.dims;
  const std::uint32_t tokens = rest / a.heads;
  p.head = rest - tokens * a.heads;
  p.kv = tokens / a.tokens;
  p.token = tokens - p.kv * a.tokens;
  p.kv += part;
  return p;
}

// One work item: a chunk of one row.
struct Item {
  std::uint8_t* row;
  std::uint64_t begin, end;  // bytes within the row
  DeviceSpec spec;
  std::uint32_t layer, part, layer_index, spec_index;
};

__device__ __forceinline__ Item item_at(const PatternArgs& a, std::uint64_t index) {
  const std::uint64_t row = index / a.chunks;
  const auto chunk = static_cast<std::uint32_t>(index - row * a.chunks);
  const auto plane = static_cast<std::uint32_t>(row / a.spec_count);
  Item item;
  item.spec_index = static_cast<std::uint32_t>(row - std::uint64_t{plane} * a.spec_count);
  item.spec = a.specs[item.spec_index];
  item.layer_index = plane / a.parts;
  item.part = plane - item.layer_index * a.parts;
  item.layer = a.first_layer + item.layer_index;
  item.row = reinterpret_cast<std::uint8_t*>(a.plane_base[plane] +
                                             std::uint64_t{item.spec.block} * a.block_stride);
  item.begin = std::uint64_t{chunk} * kPatternChunkBytes;
  item.end = min(item.begin + kPatternChunkBytes, a.row_bytes);
  return item;
}

template <DType kType>
__device__ __forceinline__ std::uint32_t element_bits(const Item& item, std::uint64_t row,
                                                      std::uint32_t dim) {
  return item.spec.ones != 0 ? one(kType) : encode(mix(row, dim), kType);
}

// The 16 bytes that belong at `at`. Requires: they lie within one head.
template <DType kType>
__device__ __forceinline__ uint4 vector_at(const PatternArgs& a, const Item& item,
                                           std::uint64_t at) {
  constexpr std::uint32_t kBytes = kType == DType::fp32                           ? 4
                                   : kType == DType::bf16 || kType == DType::fp16 ? 2
                                                                                  : 1;
  constexpr std::uint32_t kPerWord = 4 / kBytes;
  const Place p = place_of(a, at / kBytes, item.part);
  const std::uint64_t row =
      row_key(item.spec.seed, item.layer, item.spec.as_block, p.kv, p.token, p.head);
  std::uint32_t words[4] = {};
#pragma unroll
  for (std::uint32_t i = 0; i < 4 * kPerWord; ++i)
    words[i / kPerWord] |= element_bits<kType>(item, row, p.dim + i)
                           << (i % kPerWord * (8 * kBytes % 32));
  return make_uint4(words[0], words[1], words[2], words[3]);
}

__device__ __forceinline__ std::uint32_t wrong_bytes(std::uint32_t got, std::uint32_t wanted) {
  std::uint32_t wrong = 0;
  for (std::uint32_t x = got ^ wanted; x != 0; x >>= 8) wrong += (x & 0xFF) != 0 ? 1 : 0;
  return wrong;
}

__device__ __forceinline__ void report(const PatternArgs& a, const Item& item,
                                       std::uint32_t wrong) {
  if (wrong == 0) return;
  atomicAdd(&a.result->bytes, static_cast<unsigned long long>(wrong));
  atomicMin(&a.result->first,
            static_cast<unsigned long long>(item.layer_index) << 32 | item.spec_index);
}

template <DType kType, bool kCheck>
__global__ void __launch_bounds__(kThreads) pattern_vectors(const __grid_constant__ PatternArgs a) {
  for (std::uint64_t i = blockIdx.x; i < a.items; i += gridDim.x) {
    const Item item = item_at(a, i);
    std::uint32_t wrong = 0;
    for (std::uint64_t at = item.begin + threadIdx.x * kVectorBytes; at < item.end;
         at += kThreads * kVectorBytes) {
      auto* place = reinterpret_cast<uint4*>(item.row + at);
      const uint4 wanted = vector_at<kType>(a, item, at);
      if constexpr (kCheck) {
        const uint4 got = __ldcs(place);
        wrong += wrong_bytes(got.x, wanted.x) + wrong_bytes(got.y, wanted.y) +
                 wrong_bytes(got.z, wanted.z) + wrong_bytes(got.w, wanted.w);
      } else {
        __stcs(place, wanted);
      }
    }
    if constexpr (kCheck) report(a, item, wrong);
  }
}

// Any alignment and any geometry: an element a thread, a byte at a time.
template <bool kCheck>
__global__ void __launch_bounds__(kThreads) pattern_bytes(const __grid_constant__ PatternArgs a) {
  for (std::uint64_t i = blockIdx.x; i < a.items; i += gridDim.x) {
    const Item item = item_at(a, i);
    std::uint32_t wrong = 0;
    for (std::uint64_t at = item.begin + threadIdx.x * a.element_bytes; at < item.end;
         at += kThreads * a.element_bytes) {
      const Place p = place_of(a, at / a.element_bytes, item.part);
      const std::uint64_t row =
          row_key(item.spec.seed, item.layer, item.spec.as_block, p.kv, p.token, p.head);
      const std::uint32_t bits =
          item.spec.ones != 0 ? one(a.dtype) : encode(mix(row, p.dim), a.dtype);
      for (std::uint32_t b = 0; b < a.element_bytes; ++b) {
        const auto wanted = static_cast<std::uint8_t>(bits >> (8 * b));
        if constexpr (kCheck)
          wrong += item.row[at + b] != wanted ? 1 : 0;
        else
          item.row[at + b] = wanted;
      }
    }
    if constexpr (kCheck) report(a, item, wrong);
  }
}

template <bool kCheck>
const void* vector_kernel(DType dtype) {
  switch (dtype) {
    case DType::bf16: return reinterpret_cast<const void*>(&pattern_vectors<DType::bf16, kCheck>);
    case DType::fp16: return reinterpret_cast<const void*>(&pattern_vectors<DType::fp16, kCheck>);
    case DType::fp32: return reinterpret_cast<const void*>(&pattern_vectors<DType::fp32, kCheck>);
    case DType::fp8_e4m3:
      return reinterpret_cast<const void*>(&pattern_vectors<DType::fp8_e4m3, kCheck>);
    case DType::fp8_e5m2:
      return reinterpret_cast<const void*>(&pattern_vectors<DType::fp8_e5m2, kCheck>);
    case DType::int8: return reinterpret_cast<const void*>(&pattern_vectors<DType::int8, kCheck>);
  }
  return nullptr;
}

template <bool kCheck>
const void* kernel_for(const PatternArgs& args, bool vectors) {
  if (vectors) return vector_kernel<kCheck>(args.dtype);
  return reinterpret_cast<const void*>(&pattern_bytes<kCheck>);
}

}  // namespace

int launch_pattern(const PatternArgs& args, bool check, bool vectors, std::uint32_t max_ctas,
                   void* stream) {
  PatternArgs copy = args;
  void* arguments[] = {&copy};
  const auto ctas =
      static_cast<std::uint32_t>(args.items < max_ctas ? args.items : std::uint64_t{max_ctas});
  return cudaLaunchKernel(
      check ? kernel_for<true>(args, vectors) : kernel_for<false>(args, vectors), dim3(ctas),
      dim3(kThreads), arguments, 0, static_cast<cudaStream_t>(stream));
}

}  // namespace kvferry::pattern
