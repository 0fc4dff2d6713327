#include "gil.hpp"

#include <pthread.h>
#include <unistd.h>

#include "deliveries.hpp"
#include "kvferry/error.hpp"

namespace kvferry::python {
namespace {

std::atomic<int> fork_count{0};
// One of the two sees the other: a thread that asks for the GIL, or the end.
std::atomic<int> asking{0};
std::atomic<pthread_t> last_thread{};
std::atomic<bool> ending{false};

void in_child() {
  fork_count.fetch_add(1, std::memory_order_relaxed);
  asking.store(0);
  Deliveries::forget_in_child();
}

}  // namespace

WithoutGil::~WithoutGil() {
  --gil_let_go;
  asking.fetch_add(1);
  if (gil_is_gone()) {
    asking.fetch_sub(1);
    for (;;) ::pause();
  }
  PyEval_RestoreThread(state_);
  asking.fetch_sub(1);
}

bool gil_is_gone() noexcept {
  return ending.load() && !gil_until_joined &&
         ::pthread_equal(last_thread.load(), ::pthread_self()) == 0;
}

bool interpreter_ends() noexcept { return ending.load(); }

void keep_gil_for_the_end() {
  last_thread.store(::pthread_self());
  ending.store(true);
  while (asking.load() > 0) {
    PyThreadState* const state = PyEval_SaveThread();
    ::usleep(100);
    PyEval_RestoreThread(state);
  }
}

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
