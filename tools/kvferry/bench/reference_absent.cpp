// A build without UCX.
#include "bench/network_reference.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {

std::unique_ptr<Reference> make_ucx_reference(const UcxEnds&) {
  throw Error(ErrorCode::refused, "this kvferry was built without UCX");
}

}  // namespace kvferry::cli::bench
