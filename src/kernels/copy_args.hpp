#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/copy.hpp"

// What launches hand to the kernels: private to this folder.
namespace kvferry::kernels {

// One side's rows. Plane p starts at base + p * plane_stride, or, where the planes are not evenly
// spaced, at entry `table + p` of the payload seen as 64-bit words.
struct SideArgs {
  std::uint64_t base = 0;
  std::uint64_t plane_stride = 0;
  std::uint64_t block_stride = 0;
  std::uint32_t table = 0;
  std::uint32_t even = 1;
};

// What a kernel is told about its slice.
struct CopyArgs {
  SideArgs source, target;
  // Items of worker w: rounds, and one more for w < extra.
  std::uint64_t rounds = 0;
  std::uint32_t extra = 0;
  std::uint32_t workers = 0;
  // Items are (chunk, block, plane), chunk fastest.
  std::uint32_t chunks = 1, blocks = 0;
  std::uint32_t chunk_bytes = 0;
  std::uint32_t tail_bytes = 0;  // of a row's last chunk
  // `workers` in that mixed radix: going to a worker's next item needs no division.
  std::uint32_t step_chunk = 0, step_block = 0, step_plane = 0;
  std::uint32_t pairs = 0;   // entry of the payload, in 64-bit words, where the id pairs begin
  std::uint32_t narrow = 0;  // two pairs of 16-bit ids in each of those words
  std::uint32_t group = 1;
  std::uint32_t poll_mask = 0;  // look whether to stop every poll_mask + 1 items
};

// What differs from launch to launch of the same copy.
struct ControlArgs {
  Words* words = nullptr;
  std::uint32_t* relay = nullptr;
  std::uint32_t go = 0, stop = 0;  // what the first CTA writes there
  std::uint32_t handshake = 0;
  std::uint32_t tell_end = 0;
};

// Payloads travel in the kernel's parameters, and a launch costs what they measure (from call to
// done 8.9 us for 1.2 KB of them, 9.2 for 2.4, 10.2 for 6.9, 16.5 for 32, one H200): one kernel for
// each of a few sizes. CUDA's limit on all parameters is 32,764 bytes.
inline constexpr std::size_t kPayloadClasses = 5;
inline constexpr std::size_t kPayloadBytes[kPayloadClasses] = {1024, 2560, 6656, 15360, 32000};
// For lists with one entry for each.
using PayloadClasses = std::make_index_sequence<kPayloadClasses>;

template <std::size_t kBytes>
struct Params {
  CopyArgs args;
  std::uint64_t payload[kBytes / 8];
};
static_assert(sizeof(Params<kPayloadBytes[kPayloadClasses - 1]>) + sizeof(ControlArgs) <= 32764);

// The part of a plan that one launch copies: as many ids and planes as its parameters hold.
struct Slice {
  std::uint32_t first_plane = 0, planes = 0;
  std::uint32_t blocks = 0;
  // Where its first block is in the plan's runs.
  std::size_t run = 0;
  std::uint32_t in_run = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

// Goes through a plan slice by slice, blocks fastest. Slices are of nearly equal size.
class Slicer {
 public:
  explicit Slicer(const plan::Plan& plan);
  bool next(Slice& slice);
  std::uint32_t count() const noexcept;  // of all slices

 private:
  const plan::Plan* plan_;
  std::uint32_t planes_each_ = 0, blocks_each_ = 0;
  std::uint32_t plane_ = 0, block_ = 0;
  std::size_t run_ = 0;
  std::uint32_t in_run_ = 0;
};

CopyArgs make_args(const plan::Plan& plan, const Slice& slice, const Launch& launch);
// Of the launch of that index among so many.
ControlArgs make_control(const Control& control, std::uint32_t launch, std::uint32_t launches);
// Plane tables where they are needed, then (source id | target id << 32) for every block; where all
// ids fit into 16 bits (source | target << 16), two to a word: half the bytes to launch.
std::size_t payload_bytes(const plan::Plan& plan, const Slice& slice);
void write_payload(const plan::Plan& plan, const Slice& slice, std::uint64_t* out);

// The kernel of a family for a payload size class.
const void* plain_kernel(std::uint32_t payload_class);
const void* tma_kernel(std::uint32_t rings, std::uint32_t payload_class);
const void* generic_kernel(std::uint32_t payload_class);

}  // namespace kvferry::kernels
