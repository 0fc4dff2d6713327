#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/copy.hpp"

namespace kvferry::path::tcp {

// Sees the ends of a GPU's stage copies in the words that their kernels write, and tells of them,
// on a thread of its own that sleeps while none runs. While some do it looks every 20 us: CUDA's
// callbacks come one at a time from one thread, some 30 us each, which held eight streams of 1 MiB
// chunks at 20 GB/s (2 x H200). Thread-safe.
class StageWatch {
 public:
  explicit StageWatch(int device);
  ~StageWatch();
  StageWatch(const StageWatch&) = delete;
  StageWatch& operator=(const StageWatch&) = delete;

  // Calls `done` once, with whether it worked, when the kernels on this stream have written
  // `words->done`, or the GPU has failed. Throws: Error{resource}: it does not.
  void add(kernels::Words* words, void* stream, std::function<void(bool)> done);

 private:
  struct State;
  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace kvferry::path::tcp
