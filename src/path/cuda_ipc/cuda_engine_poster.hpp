#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvferry::path {

class CudaJob;

// A thread that goes on posting engine copies of transfers too long to post at once. Started with
// the first of them.
class EnginePoster {
 public:
  EnginePoster() = default;
  ~EnginePoster();
  EnginePoster(const EnginePoster&) = delete;
  EnginePoster& operator=(const EnginePoster&) = delete;

  // Throws: Error{resource} where no thread can be started.
  void add(std::shared_ptr<CudaJob> job);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<CudaJob>> added_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace kvferry::path
