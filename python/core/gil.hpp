#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "nanobind.hpp"

namespace kvferry::python {

// How many times this thread, which came from Python, has let go of the GIL in without_gil().
inline thread_local int gil_let_go = 0;

// Lets go of the GIL and takes it again. Not nb::gil_scoped_release: where the interpreter ends
// meanwhile, CPython before 3.14 ends the thread that asks for the GIL by unwinding its stack,
// which no destructor survives. Such a thread, a daemon's, sleeps here instead until the process is
// gone.
class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) { ++gil_let_go; }
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

// This thread serves others of Python's until the end, and is waited for then.
inline thread_local bool gil_until_joined = false;

// Whether this thread must not ask for the GIL any more.
bool gil_is_gone() noexcept;
// Whether keep_gil_for_the_end() was called: threads that wait now may never go on.
bool interpreter_ends() noexcept;
// The interpreter is about to end: from now on only this thread asks for the GIL. Returns when
// those have it that asked before. Requires: the GIL, and that no other thread starts or waits for
// Python but daemons.
void keep_gil_for_the_end();

// Runs f without the GIL: everything that may block or take long. Requires: the GIL is held.
template <typename F>
decltype(auto) without_gil(F&& f) {
  const WithoutGil released;
  return std::forward<F>(f)();
}

// Counts the forks between the process that imported the module and this one. A child inherits
// nodes whose threads it does not have: they can neither be used nor destroyed in it.
int forks() noexcept;
void watch_forks();

// A handle of the library's, dropped without the GIL (dropping may wait, or free much memory). One
// that a forked child inherited is left alone.
template <typename T>
class Owned {
 public:
  explicit Owned(T value) : value_(std::make_unique<T>(std::move(value))), forks_(forks()) {}
  Owned(Owned&&) noexcept = default;
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    if (value_ == nullptr) return;
    if (inherited()) {
      [[maybe_unused]] const T* left_alone = value_.release();
      return;
    }
    without_gil([this] { value_.reset(); });
  }

  bool inherited() const noexcept { return forks_ != forks(); }
  // Throws: Error{invalid_argument} in a forked child.
  const T& operator*() const;
  const T* operator->() const { return &**this; }

 private:
  std::unique_ptr<T> value_;
  int forks_;
};

[[noreturn]] void refuse_inherited();

template <typename T>
const T& Owned<T>::operator*() const {
  if (inherited()) refuse_inherited();
  return *value_;
}

}  // namespace kvferry::python
