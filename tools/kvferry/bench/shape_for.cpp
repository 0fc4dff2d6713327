#include <fmt/format.h>

#include <algorithm>

#include "bench/suite.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

// The largest divisor of n that is at most `most`.
std::uint32_t divisor(std::uint64_t n, std::uint32_t most) {
  for (auto d = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, n)); d > 1; --d) {
    if (n % d == 0) return d;
  }
  return 1;
}

}  // namespace

CacheShape shape_for(std::uint64_t block_bytes, std::uint32_t layers) {
  CacheShape shape;
  shape.layers = layers;
  shape.dtype = block_bytes % 2 == 0 ? DType::bf16 : DType::int8;
  std::uint64_t elements = block_bytes / dtype_bytes(shape.dtype);
  shape.kv = elements % 2 == 0 ? 2 : 1;
  elements /= shape.kv;
  shape.head_dim = divisor(elements, 128);
  elements /= shape.head_dim;
  shape.kv_heads = divisor(elements, 8);
  elements /= shape.kv_heads;
  if (elements == 0 || elements > 65536) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("no geometry has blocks of {} bytes", block_bytes));
  }
  shape.block_tokens = static_cast<std::uint32_t>(elements);
  shape.validate();
  return shape;
}

}  // namespace kvferry::cli::bench
