#include <fmt/format.h>

#include "kvferry/error.hpp"
#include "pattern/pattern.hpp"

// A build without CUDA has no device memory to fill: pools on a device cannot exist here either.
namespace kvferry::pattern::detail {
namespace {

[[noreturn]] void refuse(const Pool& pool) {
  throw Error(ErrorCode::resource, fmt::format("pool '{}' is on {}, but this build is without CUDA",
                                               pool.name(), pool.device().to_string()));
}

}  // namespace

void fill_cuda(const Pool& pool, const std::vector<BlockSpec>&, LayerRange) { refuse(pool); }

Mismatch check_cuda(const Pool& pool, const std::vector<BlockSpec>&, LayerRange) { refuse(pool); }

}  // namespace kvferry::pattern::detail
