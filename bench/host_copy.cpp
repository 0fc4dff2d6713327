// How close a scattered transfer between two processes' host memory comes to the fastest contiguous
// copy: 2560 rows of 64 KiB (64 blocks x 40 layers), scattered on both sides, through the host_shm
// route from a memfd that another process owns, against one contiguous 160 MiB memcpy and one
// contiguous streaming copy between prefaulted buffers, with the same number of threads.
// Repetitions are interleaved, so that a busy machine slows all of them alike.
//
//   bench_host_copy [repetitions (25)] [threads (0: as many as help)] [blocks in the pools (400)]

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "path/host_shm/host_shm_path.hpp"
#include "path/host_shm/streaming_copy.hpp"

namespace {

using namespace kvferry;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kBlocksMoved = 64;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// The reference's threads: awake and spinning when the clock starts, so that they pay no wake-up;
// the caller is one of them.
class Crew {
 public:
  explicit Crew(unsigned threads) {
    for (unsigned i = 1; i < threads; ++i) {
      threads_.emplace_back([this, i](const std::stop_token& stop) { serve(stop, i); });
    }
  }
  ~Crew() {
    for (auto& thread : threads_) thread.request_stop();
    ++round_;
    round_.notify_all();
  }

  // Seconds for work(0) .. work(threads - 1), all at once.
  double time(const std::function<void(unsigned)>& work) {
    work_ = &work;
    ready_ = 0;
    finished_ = 0;
    go_ = false;
    ++round_;
    round_.notify_all();
    while (ready_ < threads_.size()) std::this_thread::yield();
    const auto start = Clock::now();
    go_ = true;
    work(0);
    while (finished_ < threads_.size()) {
    }
    return seconds_since(start);
  }

 private:
  void serve(const std::stop_token& stop, unsigned index) {
    for (unsigned seen = 0;; ++seen) {
      round_.wait(seen);
      if (stop.stop_requested()) return;
      ++ready_;
      while (!go_) {
      }
      (*work_)(index);
      ++finished_;
    }
  }

  std::atomic<unsigned> round_{0}, ready_{0}, finished_{0};
  std::atomic<bool> go_{false};
  const std::function<void(unsigned)>* work_ = nullptr;
  std::vector<std::jthread> threads_;
};

std::vector<std::uint32_t> scattered(std::uint32_t of, unsigned seed) {
  std::vector<std::uint32_t> ids(of);
  std::iota(ids.begin(), ids.end(), 0u);
  std::ranges::shuffle(ids, std::mt19937(seed));
  ids.resize(kBlocksMoved);
  return ids;
}

path::RemoteEnd describe(const Pool& pool, pid_t owner) {
  const auto& impl = *pool.state();
  path::RemoteEnd end;
  end.offer.block_stride = impl.block_stride;
  end.offer.planes = impl.planes;
  end.offer.regions = {memory::offer(*impl.regions.front())};
  end.fds.emplace_back(::fcntl(impl.regions.front()->fds().front().get(), F_DUPFD_CLOEXEC, 0));
  end.shape = impl.shape;
  end.blocks = impl.blocks;
  end.writable = impl.options.writable;
  end.pid = owner;
  return end;
}

struct Row {
  std::string name;
  std::function<double()> run;
  std::vector<double> seconds{};
};

double transfer(path::Route& route, const plan::Plan& plan, Direction direction) {
  const auto start = Clock::now();
  plan::Plan copy = plan;
  const auto job = route.start(copy, {.direction = direction, .stream = {}}, nullptr);
  if (!job->wait_until(start + std::chrono::seconds(30)) || !job->poll()->moved_all) std::abort();
  return seconds_since(start);
}

// In the importing process.
int measure(const Pool& theirs, unsigned repetitions, unsigned threads) {
  path::HostShmPath host_shm(threads);
  if (threads == 0) threads = std::clamp(std::thread::hardware_concurrency(), 1u, 8u);
  const Pool ours = Pool::allocate(Device::host(), theirs.shape(), theirs.blocks());
  const auto connecting = Clock::now();
  const auto route = host_shm.open(ours.state(), describe(theirs, ::getppid()));
  const double open_s = seconds_since(connecting);
  const std::uint64_t bytes = kBlocksMoved * theirs.shape().layers * theirs.shape().block_bytes();
  const auto pull = plan::make_plan(route->remote(), route->local(), scattered(theirs.blocks(), 3),
                                    scattered(theirs.blocks(), 2), {});
  const auto push = plan::make_plan(route->local(), route->remote(), scattered(theirs.blocks(), 1),
                                    scattered(theirs.blocks(), 4), {});

  const auto from = Pool::allocate(Device::host(), theirs.shape(), kBlocksMoved);
  const auto to = Pool::allocate(Device::host(), theirs.shape(), kBlocksMoved);
  Crew crew(threads);
  // In `shares` equal parts, taken in turn: one a thread is what anyone would write; more of them
  // forgive a core that others keep busy.
  const auto contiguous = [&](auto copy, std::uint64_t shares) {
    std::atomic<std::uint64_t> next{0};
    const std::uint64_t share = bytes / shares;
    return crew.time([&](unsigned) {
      for (std::uint64_t i = next++; i < shares; i = next++) {
        const path::host::Piece piece{reinterpret_cast<std::uintptr_t>(from.layer(0)) + i * share,
                                      reinterpret_cast<std::uintptr_t>(to.layer(0)) + i * share,
                                      i + 1 == shares ? bytes - i * share : share};
        copy({&piece, 1});
      }
    });
  };
  const auto copies = path::host::streaming_copies();
  const auto streaming = copies.front().name;
  constexpr std::size_t kReferences = 4;
  Row rows[] = {
      {"contiguous memcpy", [&] { return contiguous(copies.back().copy, threads); }},
      {"contiguous memcpy, 40 shares", [&] { return contiguous(copies.back().copy, 40); }},
      {fmt::format("contiguous {}", streaming),
       [&] { return contiguous(copies.front().copy, threads); }},
      {fmt::format("contiguous {}, 40 shares", streaming),
       [&] { return contiguous(copies.front().copy, 40); }},
      {"scattered pull, host_shm", [&] { return transfer(*route, pull, Direction::pull); }},
      {"scattered push, host_shm", [&] { return transfer(*route, push, Direction::push); }},
  };
  // In another order every time: what ran before leaves its mark on caches and threads.
  std::mt19937 random(5);
  std::vector<std::size_t> order(std::size(rows));
  std::iota(order.begin(), order.end(), 0u);
  for (unsigned i = 0; i < repetitions + 3; ++i) {
    std::ranges::shuffle(order, random);
    for (const std::size_t row : order) {
      const double seconds = rows[row].run();
      if (i >= 3) rows[row].seconds.push_back(seconds);  // the first few warm up
    }
  }
  double best = 1e9;
  for (std::size_t i = 0; i < kReferences; ++i) best = std::min(best, median(rows[i].seconds));
  fmt::print(
      "{} rows of {} KiB, {} threads, {} interleaved repetitions; route opened in {:.2f} ms\n",
      kBlocksMoved * theirs.shape().layers, theirs.shape().block_bytes() >> 10, threads,
      repetitions, open_s * 1e3);
  fmt::print("{:<40} {:>10} {:>8} {:>16}\n", "", "median ms", "GB/s", "of the best ref.");
  for (const Row& row : rows) {
    const double s = median(row.seconds);
    fmt::print("{:<40} {:>10.3f} {:>8.2f} {:>15.1f}%\n", row.name, s * 1e3,
               static_cast<double>(bytes) / s / 1e9, 100 * best / s);
  }
  return 0;
}

unsigned argument(int argc, char** argv, int at, unsigned otherwise) {
  return argc > at ? static_cast<unsigned>(std::strtoul(argv[at], nullptr, 10)) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const unsigned repetitions = std::max(15u, argument(argc, argv, 1, 25));
    const unsigned threads = argument(argc, argv, 2, 0);
    const unsigned blocks = std::max(kBlocksMoved, argument(argc, argv, 3, 400));
    const Pool owned = Pool::allocate(Device::host(), {}, blocks, {.writable = true});
    for (std::uint32_t layer = 0; layer < owned.shape().layers; ++layer) {
      std::memset(owned.layer(layer), static_cast<int>(layer), blocks * owned.block_stride());
    }
    const pid_t importer = ::fork();
    if (importer == 0) std::exit(measure(owned, repetitions, threads));
    int status = 1;
    ::waitpid(importer, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_host_copy: {}\n", error.what());
    return 1;
  }
}
