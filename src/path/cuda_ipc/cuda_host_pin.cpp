#include "path/cuda_ipc/cuda_host_pin.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <map>
#include <mutex>

#include "memory/cuda_check.hpp"

namespace kvferry::path {
namespace {

struct Registration {
  std::uint64_t bytes = 0;
  std::uint64_t device_address = 0;
  std::uint64_t users = 0;
  bool ours = false;  // to undo
};

// Process-wide, because CUDA's registration is: the second of two nodes must not register again
// what the first has, nor lose it when the first lets go.
struct Registrations {
  std::mutex mutex;
  std::map<std::byte*, Registration> by_base;
};
Registrations& registrations() {
  static Registrations table;
  return table;
}

// The address GPUs use where all of the range is pinned already; 0 otherwise.
std::uint64_t pinned_by_owner(std::byte* base, std::uint64_t bytes) {
  cudaPointerAttributes first{};
  cudaPointerAttributes last{};
  const bool known = cudaPointerGetAttributes(&first, base) == cudaSuccess &&
                     cudaPointerGetAttributes(&last, base + bytes - 1) == cudaSuccess;
  if (!known) (void)cudaGetLastError();
  if (!known || first.type != cudaMemoryTypeHost || last.type != cudaMemoryTypeHost) return 0;
  const auto begin = reinterpret_cast<std::uint64_t>(first.devicePointer);
  const auto end = reinterpret_cast<std::uint64_t>(last.devicePointer);
  return end - begin == bytes - 1 ? begin : 0;
}

Registration register_range(std::byte* base, std::uint64_t bytes, bool read_only) {
  if (const std::uint64_t address = pinned_by_owner(base, bytes)) return {bytes, address, 0, false};
  const unsigned flags = cudaHostRegisterPortable | cudaHostRegisterMapped |
                         (read_only ? cudaHostRegisterReadOnly : 0u);
  cuda::check(cudaHostRegister(base, bytes, flags),
              fmt::format("cannot pin {} bytes of host memory for the GPU (is the limit on locked "
                          "memory too low? see ulimit -l)",
                          bytes),
              ErrorCode::refused);
  void* seen = nullptr;
  if (const cudaError_t error = cudaHostGetDevicePointer(&seen, base, 0); error != cudaSuccess) {
    cudaHostUnregister(base);
    cuda::check(error, "cannot map host memory for the GPU", ErrorCode::refused);
  }
  return {bytes, reinterpret_cast<std::uint64_t>(seen), 0, true};
}

}  // namespace

HostPin HostPin::pin(std::byte* base, std::uint64_t bytes, bool read_only) {
  std::lock_guard lock(registrations().mutex);
  auto& table = registrations().by_base;
  auto entry = table.find(base);
  if (entry == table.end())
    entry = table.emplace(base, register_range(base, bytes, read_only)).first;
  else if (entry->second.bytes < bytes)
    throw Error(ErrorCode::refused,
                fmt::format("cannot pin {} bytes of host memory: {} of them are pinned already",
                            bytes, entry->second.bytes));
  ++entry->second.users;
  return {base, entry->second.device_address};
}

HostPin::~HostPin() {
  if (base_ == nullptr) return;
  std::lock_guard lock(registrations().mutex);
  auto& table = registrations().by_base;
  const auto entry = table.find(base_);
  if (--entry->second.users != 0) return;
  if (entry->second.ours && cudaHostUnregister(base_) != cudaSuccess) (void)cudaGetLastError();
  table.erase(entry);
}

}  // namespace kvferry::path
