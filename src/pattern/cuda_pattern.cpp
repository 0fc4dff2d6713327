#include "pattern/cuda_pattern.cuh"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"

namespace kvferry::pattern::detail {
namespace {

constexpr std::uint32_t kCtasPerSm = 16;

LayerRange clipped(const Pool& pool, LayerRange layers) {
  layers.end = std::min(layers.end, pool.shape().layers);
  return layers;
}

std::uint64_t row_bytes(const Pool& pool) { return pool.shape().block_bytes() / pool.kv_parts(); }

// The lists of one job, on the device.
class Lists {
 public:
  Lists(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers,
        cudaStream_t stream) {
    std::vector<std::uint64_t> planes;
    for (std::uint32_t layer = layers.begin; layer < layers.end; ++layer)
      for (std::uint32_t part = 0; part < pool.kv_parts(); ++part)
        planes.push_back(reinterpret_cast<std::uint64_t>(pool.layer(layer, part)));
    std::vector<DeviceSpec> specs;
    specs.reserve(blocks.size());
    for (const BlockSpec& b : blocks) {
      if (b.block >= pool.blocks())
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("block {} is out of range: pool '{}' has {} blocks", b.block,
                                pool.name(), pool.blocks()));
      specs.push_back({b.seed, b.block, b.as_block, b.fill == Fill::ones ? 1u : 0u, 0});
    }
    const std::size_t plane_bytes = planes.size() * sizeof planes[0];
    const std::size_t spec_bytes = specs.size() * sizeof specs[0];
    buffer_ = cuda::DeviceBuffer::allocate(sizeof(PatternResult) + plane_bytes + spec_bytes);
    const PatternResult none{0, ~0ull};
    upload(0, &none, sizeof none, stream);
    upload(sizeof none, planes.data(), plane_bytes, stream);
    upload(sizeof none + plane_bytes, specs.data(), spec_bytes, stream);
    cuda::check(cudaStreamSynchronize(stream), "cannot upload a list of blocks");
    planes_ = planes.size();
    for (const std::uint64_t base : planes) address_bits_ |= base;
  }

  void fill_in(PatternArgs& args) const {
    args.result = reinterpret_cast<PatternResult*>(buffer_.data());
    args.plane_base =
        reinterpret_cast<const std::uint64_t*>(buffer_.data() + sizeof(PatternResult));
    args.specs = reinterpret_cast<const DeviceSpec*>(args.plane_base + planes_);
  }
  std::uint64_t planes() const { return planes_; }
  std::uint64_t address_bits() const { return address_bits_; }
  PatternResult result(cudaStream_t stream) const {
    PatternResult result{};
    cuda::check(
        cudaMemcpyAsync(&result, buffer_.data(), sizeof result, cudaMemcpyDeviceToHost, stream),
        "cannot read the result of a check");
    cuda::check(cudaStreamSynchronize(stream), "checking GPU memory failed");
    return result;
  }

 private:
  void upload(std::size_t at, const void* data, std::size_t bytes, cudaStream_t stream) {
    cuda::check(cudaMemcpyAsync(buffer_.data() + at, data, bytes, cudaMemcpyHostToDevice, stream),
                "cannot upload a list of blocks");
  }

  cuda::DeviceBuffer buffer_;
  std::size_t planes_ = 0;
  std::uint64_t address_bits_ = 0;
};

// Requires: blocks and layers are not empty, and the pool's device is current.
std::optional<PatternResult> run(const Pool& pool, const std::vector<BlockSpec>& blocks,
                                 LayerRange layers, bool check) {
  const CacheShape& shape = pool.shape();
  const auto stream = cuda::Stream::create();
  const Lists lists(pool, blocks, layers, stream.get());
  PatternArgs args{};
  lists.fill_in(args);
  args.block_stride = pool.block_stride();
  args.row_bytes = row_bytes(pool);
  args.spec_count = static_cast<std::uint32_t>(blocks.size());
  args.chunks =
      static_cast<std::uint32_t>((args.row_bytes + kPatternChunkBytes - 1) / kPatternChunkBytes);
  args.parts = pool.kv_parts();
  args.first_layer = layers.begin;
  args.tokens = shape.block_tokens;
  args.heads = shape.kv_heads;
  args.dims = shape.head_dim;
  args.element_bytes = dtype_bytes(shape.dtype);
  args.dtype = shape.dtype;
  args.items = lists.planes() * args.spec_count * args.chunks;
  const std::uint64_t head_bytes = std::uint64_t{args.dims} * args.element_bytes;
  const bool vectors = ((lists.address_bits() | args.block_stride | head_bytes) & 15) == 0;
  const std::uint32_t ctas = cuda::device_info(pool.device().ordinal).sm_count * kCtasPerSm;
  cuda::check(static_cast<cudaError_t>(launch_pattern(args, check, vectors, ctas, stream.get())),
              "cannot launch a pattern kernel");
  if (check) return lists.result(stream.get());
  cuda::check(cudaStreamSynchronize(stream.get()), "filling GPU memory failed");
  return std::nullopt;
}

bool nothing_to_do(const std::vector<BlockSpec>& blocks, LayerRange layers) {
  return blocks.empty() || layers.begin >= layers.end;
}

std::uint32_t bits_at(const Pool& pool, const BlockSpec& spec, std::uint32_t layer,
                      std::uint64_t element) {
  const CacheShape& shape = pool.shape();
  if (spec.fill == Fill::ones) return one(shape.dtype);
  const auto dim = static_cast<std::uint32_t>(element % shape.head_dim);
  element /= shape.head_dim;
  const auto head = static_cast<std::uint32_t>(element % shape.kv_heads);
  element /= shape.kv_heads;
  const auto token = static_cast<std::uint32_t>(element % shape.block_tokens);
  const auto kv = static_cast<std::uint32_t>(element / shape.block_tokens);
  return encode(mix(row_key(spec.seed, layer, spec.as_block, kv, token, head), dim), shape.dtype);
}

// The first wrong byte of one block in one layer, looked for on the host: the kernel only says that
// there is one.
std::uint64_t first_wrong_byte(const Pool& pool, const BlockSpec& spec, std::uint32_t layer) {
  const std::uint64_t bytes = row_bytes(pool);
  const std::uint32_t element_bytes = dtype_bytes(pool.shape().dtype);
  std::vector<std::uint8_t> got(bytes * pool.kv_parts());
  for (std::uint32_t part = 0; part < pool.kv_parts(); ++part)
    cuda::check(cudaMemcpy(got.data() + part * bytes,
                           static_cast<std::byte*>(pool.layer(layer, part)) +
                               spec.block * pool.block_stride(),
                           bytes, cudaMemcpyDeviceToHost),
                "cannot read a wrong block");
  for (std::uint64_t e = 0; e < got.size() / element_bytes; ++e) {
    const std::uint32_t wanted = bits_at(pool, spec, layer, e);
    for (std::uint32_t b = 0; b < element_bytes; ++b)
      if (got[e * element_bytes + b] != static_cast<std::uint8_t>(wanted >> (8 * b)))
        return e * element_bytes + b;
  }
  return 0;
}

}  // namespace

void fill_cuda(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers) {
  layers = clipped(pool, layers);
  if (nothing_to_do(blocks, layers)) return;
  const cuda::DeviceGuard guard(pool.device().ordinal);
  run(pool, blocks, layers, false);
}

Mismatch check_cuda(const Pool& pool, const std::vector<BlockSpec>& blocks, LayerRange layers) {
  Mismatch mismatch;
  layers = clipped(pool, layers);
  if (nothing_to_do(blocks, layers)) return mismatch;
  const cuda::DeviceGuard guard(pool.device().ordinal);
  const auto result = run(pool, blocks, layers, true);
  if (!result || result->bytes == 0) return mismatch;
  const auto place = static_cast<std::uint32_t>(result->first);
  mismatch.bytes = result->bytes;
  mismatch.layer = layers.begin + static_cast<std::uint32_t>(result->first >> 32);
  mismatch.block = blocks[place].block;
  mismatch.offset = first_wrong_byte(pool, blocks[place], mismatch.layer);
  return mismatch;
}

}  // namespace kvferry::pattern::detail
