#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <utility>

namespace kvferry {

// Memory for objects that come and go with every transfer: what is given back is kept for the next
// one, so that in the steady state nothing is allocated. Thread-safe. The memory goes when the last
// allocator, one of which is kept with every object, is gone.
template <typename T>
class RecyclingAllocator {
 public:
  using value_type = T;

  RecyclingAllocator() : pool_(std::make_shared<std::pmr::synchronized_pool_resource>()) {}
  template <typename U>
  RecyclingAllocator(const RecyclingAllocator<U>& other) noexcept  // NOLINT: an allocator converts
      : pool_(other.pool()) {}

  T* allocate(std::size_t n) { return static_cast<T*>(pool_->allocate(n * sizeof(T), alignof(T))); }
  void deallocate(T* p, std::size_t n) noexcept { pool_->deallocate(p, n * sizeof(T), alignof(T)); }
  const std::shared_ptr<std::pmr::synchronized_pool_resource>& pool() const noexcept {
    return pool_;
  }
  template <typename U>
  bool operator==(const RecyclingAllocator<U>& other) const noexcept {
    return pool_ == other.pool();
  }

 private:
  std::shared_ptr<std::pmr::synchronized_pool_resource> pool_;
};

}  // namespace kvferry
