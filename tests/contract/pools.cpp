#include "contract/pools.hpp"

#include <fmt/format.h>

#include <cstdlib>

#ifdef KVFERRY_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include "kvferry/error.hpp"
#include "path/ucx/engine.hpp"

namespace kvferry::contract {
namespace {

int ordinal_of(const std::string& kind) { return std::atoi(kind.c_str() + kind.find(':') + 1); }
bool starts_with_cuda(const std::string& kind) { return kind.rfind("cuda", 0) == 0; }

// Planes one after the other in a buffer of the caller's, at an offset that is aligned to nothing
// in particular, with a gap after each block.
AttachOptions attach_in(std::byte* buffer, const PoolSpec& spec, std::uint32_t parts,
                        std::uint64_t gap) {
  AttachOptions attach;
  attach.shape = spec.shape;
  attach.blocks = spec.blocks;
  attach.options.writable = spec.writable;
  const std::uint64_t row = spec.shape.block_bytes() / parts;
  attach.block_stride = row + gap;
  const std::uint64_t plane = attach.block_stride * spec.blocks;
  for (std::uint32_t p = 0; p < spec.shape.layers * parts; ++p)
    attach.bases.push_back(buffer + p * plane);
  return attach;
}

std::uint64_t buffer_bytes(const PoolSpec& spec, std::uint32_t parts, std::uint64_t gap) {
  return (spec.shape.block_bytes() / parts + gap) * spec.blocks * spec.shape.layers * parts;
}

Pool make_private(const PoolSpec& spec, std::uint32_t parts, std::uint64_t gap) {
  const std::uint64_t bytes = buffer_bytes(spec, parts, gap) + 64;
  std::shared_ptr<std::byte> buffer(static_cast<std::byte*>(std::calloc(bytes, 1)),
                                    [](std::byte* p) { std::free(p); });
  AttachOptions attach = attach_in(buffer.get() + 3, spec, parts, gap);
  attach.keep_alive = buffer;
  return Pool::attach(attach);
}

#ifdef KVFERRY_WITH_CUDA
// Like a framework's caching allocator: our tensors begin somewhere inside a larger cudaMalloc.
Pool make_sub_allocation(const PoolSpec& spec, int device) {
  constexpr std::uint64_t kGap = 48, kOffset = 4096 + 512;
  void* raw = nullptr;
  cudaSetDevice(device);
  if (cudaMalloc(&raw, buffer_bytes(spec, 1, kGap) + kOffset + 4096) != cudaSuccess)
    throw Error(ErrorCode::resource, "cudaMalloc failed in the test");
  std::shared_ptr<void> owner(raw, [](void* p) { cudaFree(p); });
  AttachOptions attach = attach_in(static_cast<std::byte*>(raw) + kOffset, spec, 1, kGap);
  attach.keep_alive = owner;
  return Pool::attach(attach);
}
#else
Pool make_sub_allocation(const PoolSpec&, int) {
  throw Error(ErrorCode::resource, "built without CUDA");
}
#endif

}  // namespace

std::optional<std::string> why_unavailable(const std::string& kind) {
  if (!starts_with_cuda(kind)) return std::nullopt;
  std::string why;
  const int count = cuda_device_count(&why);
  if (count > ordinal_of(kind)) return std::nullopt;
  return fmt::format("no usable GPU: {} needs device {}, there are {} {}", kind, ordinal_of(kind),
                     count, why);
}

std::optional<std::string> why_no_ucx(const std::string& transports) {
  if (transports.empty()) return std::nullopt;
  auto why = path::ucx::make_engine({transports})->why_not();
  if (why.empty()) return std::nullopt;
  return why;
}

Pool make_pool(const PoolSpec& spec) {
  PoolOptions options;
  options.writable = spec.writable;
  if (spec.kind == "host") return Pool::allocate(Device::host(), spec.shape, spec.blocks, options);
  if (spec.kind == "host_private") return make_private(spec, 1, 0);
  if (spec.kind == "host_split") return make_private(spec, spec.shape.kv, 24);
  if (spec.kind.rfind("cuda_malloc:", 0) == 0)
    return make_sub_allocation(spec, ordinal_of(spec.kind));
  return Pool::allocate(Device::cuda(ordinal_of(spec.kind)), spec.shape, spec.blocks, options);
}

std::vector<pattern::BlockSpec> whole(std::uint32_t blocks, std::uint64_t seed) {
  std::vector<pattern::BlockSpec> specs(blocks);
  for (std::uint32_t b = 0; b < blocks; ++b) specs[b] = {b, b, pattern::Fill::indexed, seed};
  return specs;
}

void fill_whole(const Pool& pool, std::uint64_t seed) {
  pattern::fill(pool, whole(pool.blocks(), seed), {});
}

std::uint64_t wrong_bytes(const Pool& pool, std::uint64_t mine,
                          const std::vector<pattern::BlockSpec>& moved, LayerRange layers) {
  auto inside = whole(pool.blocks(), mine);
  for (const auto& spec : moved) inside[spec.block] = spec;
  const std::uint32_t end = std::min(layers.end, pool.shape().layers);
  std::uint64_t wrong = pattern::check(pool, inside, {layers.begin, end}).bytes;
  const auto outside = whole(pool.blocks(), mine);
  if (layers.begin > 0) wrong += pattern::check(pool, outside, {0, layers.begin}).bytes;
  if (end < pool.shape().layers)
    wrong += pattern::check(pool, outside, {end, pool.shape().layers}).bytes;
  return wrong;
}

}  // namespace kvferry::contract
