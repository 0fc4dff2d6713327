#include "path/host_shm/page_tables.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace kvferry::path::host {

namespace {

// One thread is busy this long (about 1 ms) when a transfer starts.
constexpr std::uint64_t kSliceBytes = 8 << 20;

}  // namespace

// madvise wants a page's start; a memfd chunk may begin within a page.
PageTableFill::PageTableFill(std::byte* base, std::uint64_t bytes, bool writable) noexcept
    : base_(base - reinterpret_cast<std::uintptr_t>(base) %
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))),
      bytes_(bytes + static_cast<std::uint64_t>(base - base_)),
      advice_(writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) {}

bool PageTableFill::step() noexcept {
  std::uint64_t begin = 0, bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    if (done_ >= bytes_) return false;
    begin = done_;
    bytes = std::min(kSliceBytes, bytes_ - begin);
    done_ += bytes;
    ++running_;
  }
  const bool failed = ::madvise(base_ + begin, bytes, advice_) != 0;
  const std::lock_guard lock(mutex_);
  if (failed) done_ = bytes_;
  --running_;
  idle_.notify_all();
  return done_ < bytes_;
}

void PageTableFill::stop() noexcept {
  std::unique_lock lock(mutex_);
  done_ = bytes_;
  idle_.wait(lock, [&] { return running_ == 0; });
}

BackgroundFill::BackgroundFill(CopyThreads& threads, std::byte* base, std::uint64_t bytes,
                               bool writable)
    : fill_(std::make_shared<PageTableFill>(base, bytes, writable)) {
  threads.post_background(fill_);
}

}  // namespace kvferry::path::host
