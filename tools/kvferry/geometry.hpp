#pragma once

#include <cstdint>
#include <string>

#include "kvferry/pool.hpp"
#include "kvferry/shape.hpp"
#include "options.hpp"

namespace kvferry::cli {

struct Geometry {
  CacheShape shape;
  std::uint32_t blocks = 0;

  std::uint64_t pool_bytes() const { return shape.block_bytes() * shape.layers * blocks; }
};

// The model's shape (or the default one) with the options that were given, and as many blocks as
// the memory holds. Throws: Error{invalid_argument} naming the option, and both values where not
// one block fits.
Geometry resolve_geometry(const GeometryOptions& options);

struct DeviceChoice {
  Device device;
  std::string why;  // of auto: what it chose and why; else empty
};

// auto | host | cuda:N. Throws: Error{invalid_argument} for any other text, Error{resource} for a
// GPU that is not there, saying how many are and why none.
DeviceChoice choose_device(const std::string& text);

}  // namespace kvferry::cli
