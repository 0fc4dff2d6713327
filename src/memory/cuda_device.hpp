#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

namespace kvferry::cuda {

// Makes a device's primary context current for a scope, on the calling thread, and lets the thread
// make calls that would otherwise break a stream capture of another thread. Puts both back.
//
// Contexts are pushed and popped rather than set by cudaSetDevice: restoring with cudaSetDevice
// would create a context on the previous device (hundreds of MiB) where the caller never used it.
class DeviceGuard {
 public:
  // Throws: Error{resource}.
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  CUstreamCaptureMode capture_mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

// What the choice of a copy method depends on.
struct DeviceInfo {
  int compute_major = 0;
  int compute_minor = 0;
  std::uint32_t sm_count = 0;
  std::uint32_t shared_bytes = 0;  // per block, opted in
  std::uint64_t max_pitch = 0;     // of a 2D copy, bytes
  bool pins_read_only_host_memory = false;
};
// Throws: Error{resource}.
DeviceInfo device_info(int device);

// Whether the contexts of all processes on it are one, by NVIDIA's multi-process service: then what
// they start runs side by side instead of in turns. False also where the driver cannot say.
bool is_shared_by_mps(int device) noexcept;

// Whether kernels on `device` can reach memory of `other`: true also where both are the same.
bool can_reach(int device, int other);

}  // namespace kvferry::cuda
