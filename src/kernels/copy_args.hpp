#pragma once

#include <cstddef>
#include <cstdint>

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
  std::uint32_t pairs = 0;  // entry of the payload, in 64-bit words, where the id pairs begin
  std::uint32_t group = 1;
  std::uint32_t poll_mask = 0;  // look whether to stop every poll_mask + 1 items
  std::uint32_t handshake = 0;
  const std::uint64_t* payload = nullptr;  // device memory; only where it is not inline
  Words* words = nullptr;
  std::uint32_t* relay = nullptr;
  std::uint32_t go = 0, stop = 0;  // what the first CTA writes there
};

// Sizes of payloads that travel as parameters. 0: through device memory.
inline constexpr std::size_t kSmallPayload = 1024;
inline constexpr std::size_t kMediumPayload = 6144;
inline constexpr std::size_t kLargePayload = kMaxInlineBytes;

template <std::size_t kBytes>
struct Params {
  CopyArgs args;
  std::uint64_t payload[kBytes / 8];
};
template <>
struct Params<0> {
  CopyArgs args;
};
static_assert(sizeof(Params<kLargePayload>) <= 32764, "CUDA's limit on kernel parameters");

// What a launch hands to its kernel, but for the payload.
CopyArgs make_args(const plan::Plan& plan, const Launch& launch, const Control& control);
// Plane tables where they are needed, then (source id | target id << 32) for every block:
// payload_bytes() in all.
void write_payload(const plan::Plan& plan, std::uint64_t* out);

// The kernel of a family for a payload size class (0: device memory, 1 to 3: inline).
inline constexpr std::uint32_t kPayloadClasses = 4;
const void* plain_kernel(std::uint32_t unroll, std::uint32_t payload_class);
const void* tma_kernel(std::uint32_t payload_class);
const void* generic_kernel(std::uint32_t payload_class);

}  // namespace kvferry::kernels
