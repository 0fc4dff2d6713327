#include "pattern/row_pattern.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

// The hash is eight dependent 32-bit operations an element, so speed is the width of the vectors:
// the same loops are compiled for wider ones and chosen at run time. Not by target_clones, whose
// resolvers run before a sanitizer's runtime is up.
#if defined(__x86_64__)
#define KVFERRY_TARGET_AVX2 __attribute__((target("avx2")))
#define KVFERRY_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else
#define KVFERRY_TARGET_AVX2
#define KVFERRY_TARGET_AVX512
#endif
// Into each target's function, or it would be compiled for the narrowest.
#define KVFERRY_INLINE __attribute__((always_inline)) inline

namespace kvferry::pattern {
namespace {

template <DType dtype>
struct Element;
template <>
struct Element<DType::bf16> {
  using Bits = std::uint16_t;
};
template <>
struct Element<DType::fp16> {
  using Bits = std::uint16_t;
};
template <>
struct Element<DType::fp32> {
  using Bits = std::uint32_t;
};
template <>
struct Element<DType::fp8_e4m3> {
  using Bits = std::uint8_t;
};
template <>
struct Element<DType::fp8_e5m2> {
  using Bits = std::uint8_t;
};
template <>
struct Element<DType::int8> {
  using Bits = std::uint8_t;
};

// Neighbouring elements of one (kv, token, head), whose shared coordinates are mixed into `key`.
// Passed by value: bytes written through a std::byte* could change what a reference refers to, and
// the loop would not be vectorised.
struct Elements {
  std::uint64_t key = 0;
  std::uint32_t first_dim = 0;
  std::uint32_t count = 0;
};

template <DType dtype>
KVFERRY_INLINE void write_elements(std::byte* out, Elements elements) {
  using Bits = typename Element<dtype>::Bits;
  for (std::uint32_t i = 0; i < elements.count; ++i) {
    const Bits bits = static_cast<Bits>(encode(mix(elements.key, elements.first_dim + i), dtype));
    std::memcpy(out + i * sizeof(Bits), &bits, sizeof(Bits));
  }
}

template <DType dtype>
void write_plain(std::byte* out, Elements elements) {
  write_elements<dtype>(out, elements);
}
template <DType dtype>
KVFERRY_TARGET_AVX2 void write_avx2(std::byte* out, Elements elements) {
  write_elements<dtype>(out, elements);
}
template <DType dtype>
KVFERRY_TARGET_AVX512 void write_avx512(std::byte* out, Elements elements) {
  write_elements<dtype>(out, elements);
}

using Write = void (*)(std::byte*, Elements);

template <DType dtype>
Write choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return write_avx512<dtype>;
  }
  if (__builtin_cpu_supports("avx2")) return write_avx2<dtype>;
#endif
  return write_plain<dtype>;
}

Write choose(DType dtype) {
  switch (dtype) {
    case DType::bf16: return choose<DType::bf16>();
    case DType::fp16: return choose<DType::fp16>();
    case DType::fp32: return choose<DType::fp32>();
    case DType::fp8_e4m3: return choose<DType::fp8_e4m3>();
    case DType::fp8_e5m2: return choose<DType::fp8_e5m2>();
    case DType::int8: break;
  }
  return choose<DType::int8>();
}

// Calls visit(offset, elements) for the elements of a row in the order they lie in memory, at most
// `most` at a time.
template <typename Visit>
void for_each_elements(const RowContent& content, const BlockSpec& spec, std::uint32_t most,
                       Visit visit) {
  const CacheShape& shape = content.shape;
  const std::uint64_t element_bytes = dtype_bytes(shape.dtype);
  std::uint64_t offset = 0;
  for (std::uint32_t kv = content.first_kv; kv < content.first_kv + content.kvs; ++kv) {
    for (std::uint32_t token = 0; token < shape.block_tokens; ++token) {
      for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
        const auto key = row_key(spec.seed, content.layer, spec.as_block, kv, token, head);
        for (std::uint32_t dim = 0; dim < shape.head_dim; dim += most) {
          const std::uint32_t count = std::min(most, shape.head_dim - dim);
          visit(offset, Elements{key, dim, count});
          offset += count * element_bytes;
        }
      }
    }
  }
}

void compare(const std::byte* actual, const std::byte* expected, std::uint64_t offset,
             std::uint64_t bytes, RowMismatch& found) {
  for (std::uint64_t i = 0; i < bytes; ++i) {
    if (actual[i] == expected[i]) continue;
    if (found.bytes++ == 0) found.first = offset + i;
  }
}

// Some copies of the element 1, as bytes: a multiple of every element size.
using Ones = std::array<std::byte, 4096>;

Ones make_ones(DType dtype) {
  const std::uint32_t bits = one(dtype);
  const std::size_t size = dtype_bytes(dtype);
  Ones ones;
  for (std::size_t i = 0; i < ones.size(); i += size) {
    for (std::size_t b = 0; b < size; ++b) ones[i + b] = static_cast<std::byte>(bits >> (8 * b));
  }
  return ones;
}

// Calls visit(offset, bytes) for pieces of a row that are no longer than `Ones`.
template <typename Visit>
void for_each_piece(std::uint64_t row_bytes, Visit visit) {
  constexpr std::uint64_t kPiece = std::tuple_size_v<Ones>;
  for (std::uint64_t offset = 0; offset < row_bytes; offset += kPiece) {
    visit(offset, std::min(kPiece, row_bytes - offset));
  }
}

RowMismatch check_ones(const std::byte* row, const RowContent& content) {
  RowMismatch found;
  const Ones ones = make_ones(content.shape.dtype);
  for_each_piece(content.bytes(), [&](std::uint64_t offset, std::uint64_t bytes) {
    if (std::memcmp(row + offset, ones.data(), bytes) != 0) {
      compare(row + offset, ones.data(), offset, bytes, found);
    }
  });
  return found;
}

}  // namespace

void fill_row(std::byte* row, const RowContent& content, const BlockSpec& spec) {
  if (spec.fill == Fill::ones) {
    const Ones ones = make_ones(content.shape.dtype);
    for_each_piece(content.bytes(), [&](std::uint64_t offset, std::uint64_t bytes) {
      std::memcpy(row + offset, ones.data(), bytes);
    });
    return;
  }
  const Write write = choose(content.shape.dtype);
  for_each_elements(
      content, spec, content.shape.head_dim,
      [&](std::uint64_t offset, Elements elements) { write(row + offset, elements); });
}

RowMismatch check_row(const std::byte* row, const RowContent& content, const BlockSpec& spec) {
  if (spec.fill == Fill::ones) return check_ones(row, content);
  RowMismatch found;
  const Write write = choose(content.shape.dtype);
  const std::uint64_t element_bytes = dtype_bytes(content.shape.dtype);
  std::array<std::byte, 1024> expected;  // small enough to stay in the first cache
  const auto most = static_cast<std::uint32_t>(expected.size() / element_bytes);
  for_each_elements(content, spec, most, [&](std::uint64_t offset, Elements elements) {
    const std::uint64_t bytes = elements.count * element_bytes;
    write(expected.data(), elements);
    if (std::memcmp(row + offset, expected.data(), bytes) != 0) {
      compare(row + offset, expected.data(), offset, bytes, found);
    }
  });
  return found;
}

}  // namespace kvferry::pattern
