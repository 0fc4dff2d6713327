// The CUDA half of this module in a build without CUDA: everything says so.
#include "kvferry/error.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry {

namespace {

constexpr const char* kWhy = "this kvferry was built without CUDA; rebuild it where nvcc is found";

[[noreturn]] void refuse() {
  throw Error(ErrorCode::resource,
              std::string("GPU memory cannot be used: ") + kWhy + " (or use host memory)");
}

}  // namespace

int cuda_device_count(std::string* why) noexcept {
  if (why != nullptr) *why = kWhy;
  return 0;
}

namespace memory {

std::shared_ptr<Region> allocate_cuda(int, std::uint64_t) { refuse(); }
std::shared_ptr<Region> attach_cuda(std::byte*, std::uint64_t) { refuse(); }
std::optional<int> device_of(const void*) { return std::nullopt; }
std::unique_ptr<Mapping> map_cuda(const RegionOffer&, std::span<const UniqueFd>, int) { refuse(); }
// An answer, not an error: a peer may well have GPUs that this build cannot see.
std::optional<int> find_device(const GpuUuid&) { return std::nullopt; }
GpuUuid device_uuid(int) { refuse(); }

}  // namespace memory
}  // namespace kvferry
