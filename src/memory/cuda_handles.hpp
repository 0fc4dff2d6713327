#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

#include "memory/cuda_check.hpp"

// One move-only owner per raw CUDA handle. All are made and destroyed with their device current.
namespace kvferry::cuda {

// A stream that does not synchronise with the legacy default stream.
class Stream {
 public:
  Stream() noexcept = default;
  static Stream create() {
    Stream s;
    check(cudaStreamCreateWithFlags(&s.stream_, cudaStreamNonBlocking), "cannot create a stream");
    return s;
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  cudaStream_t get() const noexcept { return stream_; }
  explicit operator bool() const noexcept { return stream_ != nullptr; }

 private:
  cudaStream_t stream_ = nullptr;
};

// An event without a time stamp: cheaper to record, and all that ordering needs.
class Event {
 public:
  Event() noexcept = default;
  static Event create() {
    Event e;
    check(cudaEventCreateWithFlags(&e.event_, cudaEventDisableTiming), "cannot create an event");
    return e;
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  cudaEvent_t get() const noexcept { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Host memory that is pinned and mapped into every device at the address it has here (unified
// addressing: every 64-bit Linux device we support).
class PinnedBuffer {
 public:
  PinnedBuffer() noexcept = default;
  static PinnedBuffer allocate(std::size_t bytes) {
    PinnedBuffer b;
    check(cudaHostAlloc(&b.data_, bytes, cudaHostAllocMapped | cudaHostAllocPortable),
          "cannot allocate pinned host memory");
    b.bytes_ = bytes;
    return b;
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PinnedBuffer() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }
  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::size_t size() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Plain device memory.
class DeviceBuffer {
 public:
  DeviceBuffer() noexcept = default;
  static DeviceBuffer allocate(std::size_t bytes) {
    DeviceBuffer b;
    check(cudaMalloc(&b.data_, bytes), "cannot allocate GPU memory");
    b.bytes_ = bytes;
    return b;
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer() {
    if (data_ != nullptr) cudaFree(data_);
  }
  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::size_t size() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace kvferry::cuda
