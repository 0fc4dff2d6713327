#include "bench/bare_launch.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {

std::unique_ptr<BareLaunch> make_bare_launch(const std::string&, std::uint32_t, std::uint32_t) {
  throw Error(ErrorCode::resource, "this kvferry was built without CUDA");
}

}  // namespace kvferry::cli::bench
