#include "kvferry/pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/time_after.hpp"
#include "kvferry/error.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry {

std::string Device::to_string() const {
  return is_cuda() ? fmt::format("cuda:{}", ordinal) : "host";
}

const std::string& Pool::name() const noexcept { return state_->options.name; }
const std::string& Pool::tag() const noexcept { return state_->options.tag; }
const CacheShape& Pool::shape() const noexcept { return state_->shape; }
std::uint32_t Pool::blocks() const noexcept { return state_->blocks; }
Device Pool::device() const noexcept { return state_->device; }
bool Pool::writable() const noexcept { return state_->options.writable; }
std::uint64_t Pool::generation() const noexcept { return state_->generation; }
std::uint32_t Pool::kv_parts() const noexcept { return state_->parts; }
std::uint64_t Pool::block_stride() const noexcept { return state_->block_stride; }

void* Pool::layer(std::uint32_t layer, std::uint32_t part) const {
  if (layer >= state_->shape.layers || part >= state_->parts) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("pool '{}' has layers 0 to {} of {} part(s); there is no layer {}, "
                            "part {}",
                            name(), state_->shape.layers - 1, state_->parts, layer, part));
  }
  const auto& plane = state_->planes[static_cast<std::size_t>(layer) * state_->parts + part];
  return state_->regions[plane.region]->base() + plane.offset;
}

void Pool::revoke(std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  // One at a time: a second call must not find the revokers taken and believe the pool free.
  std::lock_guard one_at_a_time(state_->revoking);
  const auto until = time_after(Clock::now(), timeout);
  // First, so that no transfer starts on the old generation while the running ones drain.
  ++state_->generation;
  std::string holders;
  for (auto& [key, revoker] : state_->take_revokers()) {
    // A day at most: a revoker adds it to the time again.
    const auto left = std::min<std::chrono::milliseconds>(
        std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()), std::chrono::hours(24));
    try {
      revoker(std::max(left, std::chrono::milliseconds(0)));
    } catch (const std::exception& error) {
      holders += (holders.empty() ? "" : "; ") + std::string(error.what());
      state_->put_back_revoker(key, std::move(revoker));
    }
  }
  if (!holders.empty()) {
    throw Error(ErrorCode::deadline,
                fmt::format("pool '{}' is still held {} ms after it was revoked: {}; do not free "
                            "its memory, revoke again with a longer timeout",
                            name(), timeout.count(), holders));
  }
}

namespace detail {

plan::BlockMap PoolImpl::block_map() const {
  plan::BlockMap map;
  map.plane_base.reserve(planes.size());
  for (const auto& plane : planes) {
    map.plane_base.push_back(
        reinterpret_cast<std::uintptr_t>(regions[plane.region]->base() + plane.offset));
  }
  map.parts = parts;
  map.block_stride = block_stride;
  map.row_bytes = shape.block_bytes() / parts;
  map.blocks = blocks;
  return map;
}

std::uint64_t PoolImpl::add_revoker(Revoker revoker) {
  const std::lock_guard lock(mutex_);
  revokers_.emplace_back(next_key_, std::move(revoker));
  return next_key_++;
}

void PoolImpl::remove_revoker(std::uint64_t key) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(revokers_, [&](const auto& entry) { return entry.first == key; });
}

std::vector<std::pair<std::uint64_t, PoolImpl::Revoker>> PoolImpl::take_revokers() {
  const std::lock_guard lock(mutex_);
  return std::exchange(revokers_, {});
}

void PoolImpl::put_back_revoker(std::uint64_t key, Revoker revoker) {
  const std::lock_guard lock(mutex_);
  revokers_.emplace_back(key, std::move(revoker));
}

}  // namespace detail
}  // namespace kvferry
