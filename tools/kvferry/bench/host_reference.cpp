#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "bench/reference.hpp"
#include "bench/suite.hpp"
#include "kvferry/pool.hpp"
#include "path/host_shm/streaming_copy.hpp"

namespace kvferry::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;
namespace host = path::host;

// Threads that are awake and spinning when the clock starts, so that they pay no wake-up; the
// caller is one of them.
class Crew {
 public:
  explicit Crew(unsigned threads) {
    for (unsigned i = 1; i < threads; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
    }
  }
  ~Crew() {
    for (auto& thread : threads_) thread.request_stop();
    ++round_;
    round_.notify_all();
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Seconds for all threads to have called work().
  double time(const std::function<void()>& work) {
    work_ = &work;
    ready_ = 0;
    finished_ = 0;
    go_ = false;
    ++round_;
    round_.notify_all();
    while (ready_ < threads_.size()) std::this_thread::yield();
    const auto start = Clock::now();
    go_ = true;
    work();
    while (finished_ < threads_.size()) {
    }
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

 private:
  void serve(const std::stop_token& stop) {
    for (unsigned seen = 0;; ++seen) {
      round_.wait(seen);
      if (stop.stop_requested()) return;
      ++ready_;
      while (!go_) {
      }
      (*work_)();
      ++finished_;
    }
  }

  std::atomic<unsigned> round_{0}, ready_{0}, finished_{0};
  std::atomic<bool> go_{false};
  const std::function<void()>* work_ = nullptr;
  std::vector<std::jthread> threads_;
};

class HostReference final : public Reference {
 public:
  explicit HostReference(unsigned threads) : threads_(threads), crew_(threads) {}

  std::vector<ReferenceWay> ways(std::uint64_t bytes) override {
    if (bytes > bytes_) grow(bytes);
    std::vector<ReferenceWay> ways;
    const auto copies = host::streaming_copies();
    for (const host::StreamingCopy* copy : {&copies.front(), &copies.back()}) {
      // One share a thread is what anyone would write; many forgive a core that others keep busy.
      // Below a few MiB there is nothing to share out so finely.
      add(ways, *copy, bytes, threads_);
      if (bytes >= kManyShares * kShareBytes) add(ways, *copy, bytes, kManyShares);
      // Waking others may cost more than they help with.
      if (bytes <= kSmallBytes && threads_ > 1) add(ways, *copy, bytes, 1);
    }
    return ways;
  }

 private:
  static constexpr std::uint64_t kManyShares = 40, kShareBytes = 1 << 20, kSmallBytes = 8u << 20;

  void grow(std::uint64_t bytes) {
    pools_.clear();
    bytes_ = 0;
    constexpr std::uint64_t kPiece = 1 << 20;
    const auto blocks = static_cast<std::uint32_t>((bytes + kPiece - 1) / kPiece);
    for (int i = 0; i < 2; ++i) {
      pools_.push_back(Pool::allocate(Device::host(), shape_for(kPiece, 1), blocks));
      // Written once, as the transfers' pools are.
      std::memset(pools_.back().layer(0), i + 1, blocks * kPiece);
    }
    bytes_ = bytes;
  }

  void add(std::vector<ReferenceWay>& ways, const host::StreamingCopy& copy, std::uint64_t bytes,
           std::uint64_t shares) {
    const unsigned threads = shares == 1 ? 1 : threads_;
    std::string name = fmt::format("contiguous {}, {} {}", copy.name, threads,
                                   threads == 1 ? "thread" : "threads");
    if (shares > threads_) name += fmt::format(", {} shares", shares);
    ways.push_back({std::move(name), [this, copy = copy.copy, bytes, shares] {
                      return shares == 1 ? alone(copy, bytes) : together(copy, bytes, shares);
                    }});
  }

  using CopyPieces = decltype(host::StreamingCopy::copy);

  host::Piece piece(std::uint64_t at, std::uint64_t bytes) const {
    return {reinterpret_cast<std::uintptr_t>(pools_[0].layer(0)) + at,
            reinterpret_cast<std::uintptr_t>(pools_[1].layer(0)) + at, bytes};
  }

  double alone(CopyPieces copy, std::uint64_t bytes) const {
    const auto all = piece(0, bytes);
    const auto start = Clock::now();
    copy({&all, 1});
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  double together(CopyPieces copy, std::uint64_t bytes, std::uint64_t shares) {
    std::atomic<std::uint64_t> next{0};
    const std::uint64_t share = bytes / shares;
    return crew_.time([&] {
      for (std::uint64_t i = next++; i < shares; i = next++) {
        const auto mine = piece(i * share, i + 1 == shares ? bytes - i * share : share);
        copy({&mine, 1});
      }
    });
  }

  unsigned threads_;
  Crew crew_;
  std::vector<Pool> pools_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Reference> make_host_reference(unsigned threads) {
  return std::make_unique<HostReference>(threads);
}

}  // namespace kvferry::cli::bench
