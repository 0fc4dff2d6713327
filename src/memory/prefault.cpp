#include "memory/prefault.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "kvferry/error.hpp"
#include "memory/available_memory.hpp"
#include "memory/mapped_range.hpp"

namespace kvferry::memory {

namespace {

// MADV_COLLAPSE, which older C libraries do not name.
constexpr int kAdviseCollapse = 25;
// Between two looks at how much memory is left: two servers starting at once both see it free.
constexpr std::uint64_t kSlice = 64ull << 20;
constexpr unsigned kMaxThreads = 8;
// A slice that takes longer is being compacted out of fragmented memory: small pages then.
constexpr auto kPatience = std::chrono::milliseconds(500);

void touch(std::byte* base, std::uint64_t bytes, std::uint64_t every) {
  for (std::uint64_t at = 0; at < bytes; at += every) {
    *static_cast<volatile std::byte*>(base + at) = std::byte{0};
  }
}

// False when it is not worth trying again.
bool collapse(std::byte* base, std::uint64_t bytes) {
  const auto start = std::chrono::steady_clock::now();
  // One page each: a range without any is not looked at.
  touch(base, bytes, kHugePage);
  if (::madvise(base, bytes, kAdviseCollapse) != 0 && errno == EINVAL) return false;
  return std::chrono::steady_clock::now() - start < kPatience;
}

class Prefault {
 public:
  Prefault(std::byte* base, std::uint64_t bytes) : base_(base), bytes_(bytes) {}

  void run() {
    const auto threads = static_cast<unsigned>(
        std::min<std::uint64_t>({slices_ / 4, std::thread::hardware_concurrency(), kMaxThreads}));
    {
      std::vector<std::jthread> others;
      try {
        for (unsigned i = 1; i < threads; ++i) others.emplace_back([this] { take_slices(); });
      } catch (const std::system_error&) {
        // No more threads to be had: those there are do it all.
      }
      take_slices();
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void take_slices() {
    for (std::uint64_t i = next_++; i < slices_; i = next_++) {
      try {
        slice(base_ + i * kSlice, std::min(kSlice, bytes_ - i * kSlice));
      } catch (...) {
        next_ = slices_;
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
      }
    }
  }

  void slice(std::byte* at, std::uint64_t bytes) {
    const auto available = available_host_bytes();
    if (available && *available < bytes + kReserveBytes) {
      too_little(bytes_, "memory ran out while it was being prefaulted");
    }
    if (huge_ && bytes >= kHugePage && !collapse(at, bytes)) huge_ = false;
    if (::madvise(at, bytes, MADV_POPULATE_WRITE) == 0) return;
    if (errno != EINVAL) too_little(bytes_, std::strerror(errno));
    // Linux before 5.14 has no MADV_POPULATE_WRITE.
    touch(at, bytes, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  }

  std::byte* const base_;
  const std::uint64_t bytes_;
  const std::uint64_t slices_ = (bytes_ + kSlice - 1) / kSlice;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<bool> huge_{true};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

void too_little(std::uint64_t bytes, std::string_view why) {
  const auto available = available_host_bytes();
  throw Error(
      ErrorCode::resource,
      fmt::format("cannot allocate {} bytes of host memory: {} ({} bytes available); ask for fewer "
                  "blocks or free memory",
                  bytes, why, available ? fmt::to_string(*available) : "unknown"));
}

void prefault(std::byte* base, std::uint64_t bytes) { Prefault(base, bytes).run(); }

}  // namespace kvferry::memory
