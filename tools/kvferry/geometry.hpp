#pragma once

#include <cstdint>
#include <string>

#include "geometry_options.hpp"
#include "kvferry/pool.hpp"
#include "kvferry/shape.hpp"

namespace kvferry::cli {

struct Geometry {
  CacheShape shape;
  std::uint32_t blocks = 0;
  std::string dtype_from = "default";  // "option", "model" or "default"
  std::string dtype_note{};            // where the model's config named none we know; else empty

  std::uint64_t pool_bytes() const { return shape.block_bytes() * shape.layers * blocks; }
};

// The model's shape (or the default one) with the options that were given, and as many blocks as
// the memory holds. Throws: Error{invalid_argument} naming the option, and both values where not
// one block fits.
Geometry resolve_geometry(const GeometryOptions& options);

// The same for a pool of one block, whatever the memory: for a command that moves nothing.
Geometry resolve_one_block(const GeometryOptions& options);

// Allocates the pool. Throws: as Pool::allocate; Error{resource} names --available-memory and
// says sizes as people read them.
Pool allocate_pool(const Device& device, const Geometry& geometry, const PoolOptions& options);

struct DeviceChoice {
  Device device;
  std::string why;  // of auto: what it chose and why; else empty
};

// auto | host | cuda:N. Throws: Error{invalid_argument} for any other text, Error{resource} for a
// GPU that is not there, saying how many are and why none.
DeviceChoice choose_device(const std::string& text);

}  // namespace kvferry::cli
