#pragma once

#include <cstddef>
#include <memory>

namespace kvferry::cli::bench {

// Leaves nothing of other data in this machine's CPU caches. Of two copies in host memory the one
// that ran last, or more often, would find its source in a cache of hundreds of MiB, as a KV cache
// of many GiB is not found: 160 MiB contiguous "reached" 60 to 100 GB/s where memory gives 50
// (2 x H200 machine, 320 MiB of level 3).
class ColdCaches {
 public:
  // Takes twice the bytes of the last level, at most 1 GiB. Throws: std::bad_alloc.
  explicit ColdCaches(unsigned threads);
  ~ColdCaches();
  ColdCaches(const ColdCaches&) = delete;
  ColdCaches& operator=(const ColdCaches&) = delete;
  void sweep() const;

 private:
  unsigned threads_;
  std::size_t bytes_;
  std::unique_ptr<unsigned char[]> memory_;
};

}  // namespace kvferry::cli::bench
