#include "node/prepared_impl.hpp"

namespace kvferry::detail {

// Its copies, captured ones included, end before it lets go of the route.
PreparedImpl::~PreparedImpl() { retire(ErrorCode::cancelled); }

std::shared_ptr<path::Route> PreparedImpl::route() const {
  if (auto route = setup_.route.lock()) return route;
  throw Error(ErrorCode::refused,
              "this transfer was prepared for pools that are no longer mapped (a pool was revoked, "
              "or the connection ended); prepare it again");
}

void PreparedImpl::capture(CudaStream stream) {
  auto mapped = route();
  setup_.copy->capture(stream);
  std::lock_guard lock(mutex_);
  kept_ = std::move(mapped);
}

bool PreparedImpl::keeps(const path::Route* route) const noexcept {
  std::lock_guard lock(mutex_);
  return kept_.get() == route;
}

void PreparedImpl::retire(ErrorCode why) noexcept {
  setup_.copy->retire(why);
  std::shared_ptr<path::Route> kept;  // let go of outside the lock: it may unmap
  {
    std::lock_guard lock(mutex_);
    kept = std::move(kept_);
  }
}

}  // namespace kvferry::detail
