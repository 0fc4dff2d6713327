#include "path/host_shm/streaming_copy.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kvferry::path::host {

namespace {

void copy_plain(std::span<const Piece> pieces) noexcept {
  for (const Piece& piece : pieces) {
    std::memcpy(reinterpret_cast<void*>(piece.target), reinterpret_cast<const void*>(piece.source),
                piece.bytes);
  }
}

#if defined(__x86_64__)

constexpr std::size_t kLanes = 4;
constexpr std::uint64_t kLine = 64;
constexpr std::uint64_t kStep = 128;  // of one lane before the next one's turn
// Of each lane of the next group, fetched while this one ends.
constexpr std::uint64_t kPrefetch = 1024;
// Shorter pieces: finding the aligned middle costs more than streaming it saves.
constexpr std::uint64_t kMemcpyBelow = 512;

// Pieces copied side by side, all `bytes` long: a multiple of kStep, targets on a line.
struct Group {
  std::array<const char*, kLanes> source{};
  std::array<char*, kLanes> target{};
  std::array<const char*, kLanes> next{};  // where to prefetch; any address will do
  std::uint64_t bytes = 0;
};
using GroupCopy = void (*)(const Group& group, std::size_t lanes) noexcept;

inline void prefetch_step(const Group& group, std::size_t lane, std::uint64_t at) {
  if (at + kPrefetch < group.bytes) return;
  const char* ahead = group.next[lane] + (at + kPrefetch - group.bytes);
  _mm_prefetch(ahead, _MM_HINT_T0);
  _mm_prefetch(ahead + kLine, _MM_HINT_T0);
}

[[gnu::target("avx512f")]] void group_avx512(const Group& group, std::size_t lanes) noexcept {
  for (std::uint64_t at = 0; at < group.bytes; at += kStep) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      prefetch_step(group, lane, at);
      const char* source = group.source[lane] + at;
      char* target = group.target[lane] + at;
      const __m512i a = _mm512_loadu_si512(source);
      const __m512i b = _mm512_loadu_si512(source + 64);
      _mm512_stream_si512(reinterpret_cast<__m512i*>(target), a);
      _mm512_stream_si512(reinterpret_cast<__m512i*>(target + 64), b);
    }
  }
}

[[gnu::target("avx2")]] void group_avx2(const Group& group, std::size_t lanes) noexcept {
  for (std::uint64_t at = 0; at < group.bytes; at += kStep) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      prefetch_step(group, lane, at);
      const auto* source = reinterpret_cast<const __m256i*>(group.source[lane] + at);
      auto* target = reinterpret_cast<__m256i*>(group.target[lane] + at);
      const __m256i a = _mm256_loadu_si256(source), b = _mm256_loadu_si256(source + 1);
      const __m256i c = _mm256_loadu_si256(source + 2), d = _mm256_loadu_si256(source + 3);
      _mm256_stream_si256(target, a);
      _mm256_stream_si256(target + 1, b);
      _mm256_stream_si256(target + 2, c);
      _mm256_stream_si256(target + 3, d);
    }
  }
}

void group_sse2(const Group& group, std::size_t lanes) noexcept {
  for (std::uint64_t at = 0; at < group.bytes; at += kStep) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      prefetch_step(group, lane, at);
      const auto* source = reinterpret_cast<const __m128i*>(group.source[lane] + at);
      auto* target = reinterpret_cast<__m128i*>(group.target[lane] + at);
      for (int half = 0; half < 2; ++half, source += 4, target += 4) {
        const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        const __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
      }
    }
  }
}

std::uint64_t to_line(std::uint64_t address) { return (kLine - address % kLine) % kLine; }

// A piece being copied: what is left of it.
struct Lane {
  char* target = nullptr;
  const char* source = nullptr;
  std::uint64_t left = 0;

  void take(std::uint64_t bytes) {
    target += bytes;
    source += bytes;
    left -= bytes;
  }
  void copy_plain(std::uint64_t bytes) {
    std::memcpy(target, source, bytes);
    take(bytes);
  }
};

void copy_together(std::span<const Piece> pieces, std::span<const Piece> after,
                   GroupCopy copy_group) noexcept {
  std::array<Lane, kLanes> lanes;
  Group group{.bytes = ~0ull};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    Lane& lane = lanes[i];
    lane = {reinterpret_cast<char*>(pieces[i].target),
            reinterpret_cast<const char*>(pieces[i].source), pieces[i].bytes};
    lane.copy_plain(std::min(to_line(pieces[i].target), lane.left));
    group.source[i] = lane.source;
    group.target[i] = lane.target;
    // Without a next piece this prefetches what was just read: harmless, and no branch.
    group.next[i] = i < after.size() ? reinterpret_cast<const char*>(after[i].source) : lane.source;
    group.bytes = std::min(group.bytes, lane.left / kStep * kStep);
  }
  copy_group(group, pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    Lane& lane = lanes[i];
    lane.take(group.bytes);
    // A longer neighbour goes on alone.
    if (const std::uint64_t more = lane.left / kStep * kStep; more > 0) {
      copy_group({.source = {lane.source},
                  .target = {lane.target},
                  .next = {group.next[i]},
                  .bytes = more},
                 1);
      lane.take(more);
    }
    lane.copy_plain(lane.left);
  }
}

template <GroupCopy kCopyGroup>
void copy_streaming(std::span<const Piece> pieces) noexcept {
  while (!pieces.empty()) {
    if (pieces.front().bytes < kMemcpyBelow) {
      copy_plain(pieces.first(1));
      pieces = pieces.subspan(1);
      continue;
    }
    const auto group = pieces.first(std::min(kLanes, pieces.size()));
    pieces = pieces.subspan(group.size());
    copy_together(group, pieces.first(std::min(kLanes, pieces.size())), kCopyGroup);
  }
  // Non-temporal stores are ordered by nothing else.
  _mm_sfence();
}

#endif

std::vector<StreamingCopy> runnable_copies() {
  std::vector<StreamingCopy> copies;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) {
    copies.push_back({"avx512 streaming", copy_streaming<group_avx512>});
  }
  if (__builtin_cpu_supports("avx2")) {
    copies.push_back({"avx2 streaming", copy_streaming<group_avx2>});
  }
  copies.push_back({"sse2 streaming", copy_streaming<group_sse2>});
#endif
  copies.push_back({"memcpy", copy_plain});
  return copies;
}

}  // namespace

std::span<const StreamingCopy> streaming_copies() {
  static const std::vector<StreamingCopy> copies = runnable_copies();
  return copies;
}

}  // namespace kvferry::path::host
