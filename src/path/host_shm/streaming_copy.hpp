#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kvferry::path::host {

// Bytes to copy, as addresses in this process (or, on one side, in another: see ProcessVm).
struct Piece {
  std::uint64_t source = 0;
  std::uint64_t target = 0;
  std::uint64_t bytes = 0;
};

// One way to copy many pieces, any alignment and length; pieces must not overlap.
//
// Non-temporal stores spare the read of every target line before it is written: a third of the
// memory traffic. Scattered rows lose up to 30 % again where the hardware prefetcher has to find
// its stride anew in each, so four pieces are copied side by side, 128 bytes of each in turn: their
// starts overlap (bench_host_copy).
struct StreamingCopy {
  std::string_view name;  // "avx512 streaming", "memcpy"
  // What was written is visible to whoever acquires what this thread releases afterwards.
  void (*copy)(std::span<const Piece> pieces) noexcept = nullptr;
};

// Those this CPU can run, fastest first; never empty, the last is plain memcpy.
std::span<const StreamingCopy> streaming_copies();

}  // namespace kvferry::path::host
