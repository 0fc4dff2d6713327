#pragma once

#include <chrono>

#include "capi/guard.hpp"

// Values, from C to C++ and back. Each throws Error{invalid_argument} for what cannot be meant.
namespace kvferry::capi {

// Validated.
CacheShape to_shape(const kvferry_shape* shape);
// Into what the caller gave room for.
void give_shape(const CacheShape& shape, kvferry_shape* out);

// A time to wait.
std::chrono::nanoseconds to_timeout(std::int64_t timeout_ns);
// Rounded up, so that a millisecond at least is waited for a time that is not 0.
std::chrono::milliseconds to_timeout_ms(std::int64_t timeout_ns);

// `options` may be NULL.
PoolOptions to_pool_options(const kvferry_pool_options* options);
TransferOptions to_transfer_options(const kvferry_transfer_options* options);

}  // namespace kvferry::capi
