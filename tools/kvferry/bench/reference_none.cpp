#include "bench/reference.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {

std::unique_ptr<Reference> make_cuda_reference(const CudaEnds&) {
  throw Error(ErrorCode::resource, "this kvferry was built without CUDA");
}

}  // namespace kvferry::cli::bench
