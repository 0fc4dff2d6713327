#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "path/host_shm/copy_threads.hpp"

namespace kvferry::path::host {

// Enters the pages of a mapping into this process's page tables, slice by slice, so that transfers
// do not pay a fault for every page they touch first (160 MiB: 6-14 ms, more than the copy), and
// yet mapping gigabytes takes no time. A kernel without MADV_POPULATE_* (before 5.14) leaves it to
// the faults.
class PageTableFill final : public CopyWork {
 public:
  PageTableFill(std::byte* base, std::uint64_t bytes, bool writable) noexcept;
  bool step() noexcept override;
  // Returns when no slice is under way and none will be: then the mapping may go.
  void stop() noexcept;

 private:
  std::byte* const base_;
  const std::uint64_t bytes_;
  const int advice_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::uint64_t done_ = 0;
  unsigned running_ = 0;
};

// A fill under way on some threads; ends when this is destroyed, before the mapping may go.
class BackgroundFill {
 public:
  BackgroundFill(CopyThreads& threads, std::byte* base, std::uint64_t bytes, bool writable);
  BackgroundFill(BackgroundFill&&) noexcept = default;
  BackgroundFill& operator=(BackgroundFill&&) = delete;
  ~BackgroundFill() {
    if (fill_) fill_->stop();
  }

 private:
  std::shared_ptr<PageTableFill> fill_;
};

}  // namespace kvferry::path::host
