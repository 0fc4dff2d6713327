#include "memory/cuda_device.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <atomic>

#include "kvferry/pool.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_driver.hpp"

namespace kvferry::cuda {
namespace {

constexpr int kMaxDevices = 64;

// A device's primary context, retained on first use and kept to the end of the process: releasing
// it could destroy the context under another CUDA runtime of this process that still uses it.
CUcontext primary_context(int device) {
  static std::array<std::atomic<CUcontext>, kMaxDevices> contexts{};
  if (device < 0 || device >= kMaxDevices)
    throw Error(ErrorCode::resource, fmt::format("no GPU cuda:{}", device));
  auto& slot = contexts[static_cast<std::size_t>(device)];
  if (CUcontext context = slot.load(std::memory_order_acquire)) return context;
  CUcontext context = nullptr;
  // Two threads may retain it at once: a count of two is as good as one.
  check(driver().retain_primary_context(&context, device),
        fmt::format("cannot use GPU cuda:{}", device));
  slot.store(context, std::memory_order_release);
  return context;
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device),
        fmt::format("cannot read the attributes of GPU cuda:{}", device));
  return value;
}

}  // namespace

DeviceGuard::DeviceGuard(int device) {
  const CUcontext context = primary_context(device);
  // The text only where it is needed: this is on the way of every transfer.
  if (const CUresult pushed = driver().push_context(context); pushed != CUDA_SUCCESS)
    check(pushed, fmt::format("cannot use GPU cuda:{}", device));
  driver().exchange_capture_mode(&capture_mode_);
}

DeviceGuard::~DeviceGuard() {
  driver().exchange_capture_mode(&capture_mode_);
  CUcontext popped = nullptr;
  driver().pop_context(&popped);
}

DeviceInfo device_info(int device) {
  DeviceInfo info;
  info.compute_major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  info.compute_minor = attribute(cudaDevAttrComputeCapabilityMinor, device);
  info.sm_count = static_cast<std::uint32_t>(attribute(cudaDevAttrMultiProcessorCount, device));
  info.shared_bytes =
      static_cast<std::uint32_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  info.max_pitch = static_cast<std::uint64_t>(attribute(cudaDevAttrMaxPitch, device));
  info.pins_read_only_host_memory =
      attribute(cudaDevAttrHostRegisterReadOnlySupported, device) != 0;
  return info;
}

bool is_shared_by_mps(int device) noexcept {
  // CU_DEVICE_ATTRIBUTE_MPS_ENABLED, which older toolkits do not name.
  constexpr auto kMpsEnabled = static_cast<CUdevice_attribute>(133);
  int value = 0;
  const Driver* const driver = find_driver();
  return driver != nullptr &&
         driver->device_attribute(&value, kMpsEnabled, device) == CUDA_SUCCESS && value != 0;
}

bool can_reach(int device, int other) {
  if (device == other) return true;
  int can = 0;
  if (cudaDeviceCanAccessPeer(&can, device, other) != cudaSuccess) (void)cudaGetLastError();
  return can != 0;
}

}  // namespace kvferry::cuda
