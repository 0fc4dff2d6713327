#include "gil.hpp"

#include <pthread.h>

#include "deliveries.hpp"
#include "kvferry/error.hpp"

namespace kvferry::python {
namespace {

std::atomic<int> fork_count{0};

void in_child() {
  fork_count.fetch_add(1, std::memory_order_relaxed);
  Deliveries::forget_in_child();
}

}  // namespace

int forks() noexcept { return fork_count.load(std::memory_order_relaxed); }

void watch_forks() {
  static const int registered = ::pthread_atfork(nullptr, nullptr, &in_child);
  if (registered != 0) throw Error(ErrorCode::resource, "pthread_atfork: too little memory");
}

void refuse_inherited() {
  throw Error(ErrorCode::invalid_argument,
              "this object was made before fork(): its threads are not in this process; make nodes "
              "and pools after the fork, or use the 'spawn' start method");
}

}  // namespace kvferry::python
