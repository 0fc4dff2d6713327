#include "bench/cold_caches.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

namespace kvferry::cli::bench {
namespace {

// Where the system does not say how large the last level is.
constexpr std::size_t kUnknown = std::size_t{256} << 20, kMost = std::size_t{1} << 30;

std::size_t sweep_bytes() {
  const long level3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return std::min(kMost, 2 * (level3 > 0 ? static_cast<std::size_t>(level3) : kUnknown));
}

// Reads a word of every line; the sum keeps the compiler from leaving that out.
unsigned char read(const unsigned char* from, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  unsigned char sum = 0;
  for (std::size_t i = 0; i < bytes; i += kLine) sum = static_cast<unsigned char>(sum + from[i]);
  return sum;
}

}  // namespace

ColdCaches::ColdCaches(unsigned threads)
    : threads_(std::max(1u, threads)),
      bytes_(sweep_bytes()),
      memory_(std::make_unique_for_overwrite<unsigned char[]>(bytes_)) {
  std::memset(memory_.get(), 1, bytes_);
}
ColdCaches::~ColdCaches() = default;

void ColdCaches::sweep() const {
  std::vector<unsigned char> sums(threads_);
  std::vector<std::jthread> others;
  const std::size_t share = bytes_ / threads_;
  for (unsigned i = 1; i < threads_; ++i) {
    others.emplace_back([&, i] { sums[i] = read(memory_.get() + i * share, share); });
  }
  sums[0] = read(memory_.get(), share);
  others.clear();
  static volatile unsigned char kept = 0;
  kept = std::accumulate(sums.begin(), sums.end(), kept);
}

}  // namespace kvferry::cli::bench
