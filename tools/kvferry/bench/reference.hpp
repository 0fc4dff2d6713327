#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/sampler.hpp"

namespace kvferry::cli::bench {

// What a transfer is held against: one contiguous copy of as many bytes between the same two
// devices. There may be several ways to do it; the fastest one's median is the reference.
struct ReferenceWay {
  std::string name;  // "contiguous cudaMemcpyAsync", "memcpy, 2 threads"
  Measure copy;      // seconds, from call to done
};

class Reference {
 public:
  virtual ~Reference() = default;
  // The ways to copy so many bytes. Valid until the next call or the end of this object.
  // Throws: Error{resource}.
  virtual std::vector<ReferenceWay> ways(std::uint64_t bytes) = 0;
};

// Between two buffers in host memory, on so many threads.
std::unique_ptr<Reference> make_host_reference(unsigned threads);
// Between buffers on two devices, at least one a GPU ("host" is pinned memory), as seen from the
// GPU `copier`. Throws: Error{resource}.
struct CudaEnds {
  std::string from, to, copier;
};
std::unique_ptr<Reference> make_cuda_reference(const CudaEnds& ends);

}  // namespace kvferry::cli::bench
