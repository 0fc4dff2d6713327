// Pool::allocate and Pool::attach: from the caller's words to regions and planes.
#include <fmt/format.h>

#include <algorithm>

#include "kvferry/error.hpp"
#include "memory/plane_layout.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry {

namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxTagBytes = 256;

void check_options(const PoolOptions& options) {
  const auto allowed = [](char c) {
    return std::string_view("._-").find(c) != std::string_view::npos || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (options.name.empty() || options.name.size() > kMaxNameBytes ||
      !std::ranges::all_of(options.name, allowed)) {
    // Not echoed whole: it may be anything, of any length.
    throw Error(ErrorCode::invalid_argument,
                fmt::format("name: {} bytes; a pool's name is 1 to {} characters of [A-Za-z0-9._-]",
                            options.name.size(), kMaxNameBytes));
  }
  if (options.tag.size() > kMaxTagBytes) {
    throw Error(ErrorCode::invalid_argument, fmt::format("tag: {} bytes, more than the {} allowed",
                                                         options.tag.size(), kMaxTagBytes));
  }
}

void check_blocks(std::uint32_t blocks) {
  if (blocks == 0) {
    throw Error(ErrorCode::invalid_argument, "blocks is 0; a pool has at least one block");
  }
}

// One by one rather than per span: an allocation of the driver's, not an address range, is what can
// be shared.
void attach_cuda_planes(detail::PoolImpl& pool, const memory::PlaneLayout& layout) {
  for (void* pointer : layout.bases) {
    auto* const base = static_cast<std::byte*>(pointer);
    const auto holds = [&](const std::shared_ptr<memory::Region>& region) {
      return base >= region->base() && layout.extent() <= region->bytes() &&
             static_cast<std::uint64_t>(base - region->base()) <= region->bytes() - layout.extent();
    };
    // The latest region first: planes of one allocation come one after another.
    auto found = std::find_if(pool.regions.rbegin(), pool.regions.rend(), holds);
    if (found == pool.regions.rend()) {
      pool.regions.push_back(memory::attach_cuda(base, layout.extent()));
      found = pool.regions.rbegin();
    }
    pool.planes.push_back({static_cast<std::uint32_t>(pool.regions.rend() - found - 1),
                           static_cast<std::uint64_t>(base - (*found)->base())});
  }
}

void attach_host_planes(detail::PoolImpl& pool, const memory::PlaneLayout& layout) {
  const auto ranges = memory::spanned_ranges(layout);
  for (const auto& range : ranges) {
    pool.regions.push_back(
        memory::attach_host(reinterpret_cast<std::byte*>(range.begin), range.end - range.begin));
  }
  for (const void* pointer : layout.bases) {
    const std::uint64_t base = reinterpret_cast<std::uintptr_t>(pointer);
    const auto after = std::ranges::upper_bound(ranges, base, {}, &memory::AddressRange::begin);
    const auto index = static_cast<std::uint32_t>(after - ranges.begin() - 1);
    pool.planes.push_back({index, base - ranges[index].begin});
  }
}

Device common_device(const memory::PlaneLayout& layout) {
  const auto device = [&](std::size_t plane) {
    const auto ordinal = memory::device_of(layout.bases[plane]);
    return ordinal ? Device::cuda(*ordinal) : Device::host();
  };
  const Device first = device(0);
  for (std::size_t p = 1; p < layout.bases.size(); ++p) {
    if (const Device other = device(p); other != first) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("{} is on {}, but {} is on {}; a pool lies on one device", layout.describe(0),
                      first.to_string(), layout.describe(p), other.to_string()));
    }
  }
  return first;
}

// 1 or 2, as the number of bases says.
std::uint32_t parts_of(const AttachOptions& options) {
  const std::uint64_t layers = options.shape.layers, given = options.bases.size();
  if (given == layers) return 1;
  if (options.shape.kv == 2 && given == 2 * layers) return 2;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("bases: {} addresses given for {} layers; expected {}{}", given, layers, layers,
                  options.shape.kv == 2
                      ? fmt::format(" (one a layer), or {} (K and V apart)", 2 * layers)
                      : " (one a layer)"));
}

void remember(const detail::PoolImpl& pool) {
  for (const auto& region : pool.regions) memory::remember_local(region);
}

}  // namespace

Pool Pool::allocate(Device device, const CacheShape& shape, std::uint32_t blocks,
                    const PoolOptions& options) {
  shape.validate();
  check_blocks(blocks);
  check_options(options);
  // At most 2^16 layers * 2^32 blocks * 2^30 bytes: may exceed 64 bits.
  const std::uint64_t plane_bytes = blocks * shape.block_bytes();
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(plane_bytes, static_cast<std::uint64_t>(shape.layers), &bytes)) {
    throw Error(ErrorCode::resource,
                fmt::format("{} blocks of {} layers of {} bytes exceed any memory; ask for fewer "
                            "blocks",
                            blocks, shape.layers, shape.block_bytes()));
  }
  auto pool = std::make_shared<detail::PoolImpl>();
  pool->options = options;
  pool->shape = shape;
  pool->blocks = blocks;
  pool->block_stride = shape.block_bytes();
  pool->device = device;
  for (std::uint32_t p = 0; p < shape.layers; ++p) pool->planes.push_back({0, p * plane_bytes});
  pool->regions.push_back(device.is_cuda() ? memory::allocate_cuda(device.ordinal, bytes)
                                           : memory::allocate_host(bytes, options.writable));
  remember(*pool);
  return Pool(std::move(pool));
}

Pool Pool::attach(const AttachOptions& options) {
  options.shape.validate();
  check_blocks(options.blocks);
  check_options(options.options);
  auto pool = std::make_shared<detail::PoolImpl>();
  pool->options = options.options;
  pool->shape = options.shape;
  pool->blocks = options.blocks;
  pool->parts = parts_of(options);
  const std::uint64_t row_bytes = options.shape.block_bytes() / pool->parts;
  pool->block_stride = options.block_stride == 0 ? row_bytes : options.block_stride;
  const memory::PlaneLayout layout{.bases = options.bases,
                                   .block_stride = pool->block_stride,
                                   .row_bytes = row_bytes,
                                   .blocks = options.blocks,
                                   .parts = pool->parts};
  layout.check();
  pool->device = common_device(layout);
  pool->keep_alive = options.keep_alive;
  if (pool->device.is_cuda()) {
    attach_cuda_planes(*pool, layout);
  } else {
    attach_host_planes(*pool, layout);
  }
  remember(*pool);
  return Pool(std::move(pool));
}

}  // namespace kvferry
