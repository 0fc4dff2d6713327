#include "path/cuda_ipc/choose.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kvferry::path {
namespace {

using kernels::Family;
using kernels::Launch;

// On one GPU, transfers from here on go by bulk copies of every SM: after other work, with cold
// caches and translations, they take 102.4 us for 160 MiB where the best plain shape takes 105 and
// the usual ones 107 to 110, since they keep more bytes in flight (bench_cuda_copy --sweep, H200).
// With host memory too, where that takes fewer SMs. Smaller ones end before either matters.
constexpr std::uint64_t kBulkBytes = 8u << 20;
// The plain shape with all SMs: 4 CTAs an SM of 512 threads; over NVLink the best of 200 or within
// 0.5 % of it (same sweep). A warp takes a chunk in passes of 8 loads a thread, so chunks are whole
// passes: rows of 12 KiB in chunks of 6 reached 87 %, in one 95 %.
constexpr std::uint32_t kFullCtasPerSm = 4, kFullThreads = 512;
constexpr std::uint32_t kPassBytes = 32 * kernels::kLoadsInFlight * 16, kFullChunk = 4 * kPassBytes;
// Where a row is cut: what crosses NVLink goes in packets of up to 128 bytes, and pieces that begin
// within one cost 25 % (rows of 20 and of 36 KiB: 72 % against 95 %).
constexpr std::uint32_t kCut = 128;
// Below this a bulk copy moves too little for its cost; groups of threads take a row each.
constexpr std::uint64_t kTmaRowBytes = 2048;
// CTAs that fill NVLink 4 by TMA. Pulling, 24 reach 95 % of a contiguous copy, as do all, and leave
// the other SMs to others; 16 reach 94-95 %. Pushing takes 96 for 94 %, 24 reach 91 %, 16 89 % (GPU
// times, rows of 4 KiB to 144 KiB, bench_cuda_copy --sweep). NVLink 5 has twice the rate.
constexpr std::uint32_t kPeerPullCtas = 24, kPeerPushCtas = 96;
// Rows pushed by TMA: shorter ones go better by plain vectors (2 KiB: 93 against 91 %). Longer ones
// do not: rows of 6, 12 and 36 KiB reached 85 % that way.
constexpr std::uint64_t kPushTmaRowBytes = 4096;
// What one SM moves: 160 MiB in 3.6 ms over NVLink (kvferry bench --only sms, 2 x H200).
constexpr double kGbPerSecondAnSm = 46;
// Enough to fill PCIe 5; more only take SMs from others. By TMA 4, 8, 16 and 32 CTAs are as fast as
// 32 of plain loads, within 1 %, either way; 2 lose up to 27 % (bench_cuda_copy, H200).
constexpr std::uint32_t kHostCtas = 32, kHostTmaCtas = 8;

const CopyCost& engine_cost(const ChooseInput& in) {
  const CopyCosts& c = *in.costs;
  if (in.link == Link::peer) return c.peer_engine;
  if (in.link == Link::host) return in.to_host ? c.to_host_engine : c.from_host_engine;
  return in.engine_flat ? c.same_gpu_flat_engine : c.same_gpu_engine;
}
const CopyCost& full_kernel_cost(const ChooseInput& in) {
  const CopyCosts& c = *in.costs;
  if (in.link == Link::peer) return c.peer_kernel;
  if (in.link == Link::same_gpu) return c.same_gpu_kernel;
  return in.to_host ? c.to_host_kernel : c.from_host_kernel;
}
CopyCost kernel_cost(const ChooseInput& in) {
  CopyCost cost = full_kernel_cost(in);
  if (in.max_sms != 0) cost.gb_per_s = std::min(cost.gb_per_s, kGbPerSecondAnSm * in.max_sms);
  return cost;
}

std::uint32_t within(std::uint32_t ctas, const ChooseInput& in) {
  return std::max(1u, in.max_sms == 0 ? ctas : std::min(ctas, in.max_sms));
}

// Nearly equal chunks of at most `most` bytes that are multiples of `unit`, so that none is a
// sliver. Requires: most is a multiple of unit.
std::uint32_t even_chunk(std::uint64_t row_bytes, std::uint64_t most, std::uint64_t unit) {
  const std::uint64_t chunks = (row_bytes + most - 1) / most;
  const std::uint64_t chunk = (row_bytes + chunks - 1) / chunks;
  return static_cast<std::uint32_t>((chunk + unit - 1) / unit * unit);
}

// Threads for one chunk: enough that each has all its loads in it.
std::uint32_t group_for(std::uint32_t chunk_bytes, std::uint32_t most) {
  const std::uint32_t wanted = std::max(1u, chunk_bytes / (16 * kernels::kLoadsInFlight));
  return std::clamp(std::bit_floor(wanted), 8u, most);
}

bool tma_possible(const ChooseInput& in) {
  return in.alignment == 16 && in.compute_major >= 9 && in.row_bytes >= kTmaRowBytes &&
         in.shared_bytes >= kernels::kTmaSharedBytes + kernels::kTmaStaticSharedBytes;
}

Launch tma_launch(const ChooseInput& in) {
  Launch l;
  l.family = Family::tma;
  l.group = 32;
  const std::uint32_t rings =
      in.link == Link::same_gpu ? kernels::kTmaManyRings : kernels::kTmaFewRings;
  l.threads = 32 * rings;
  const std::uint32_t stage = kernels::tma_stage_bytes(rings);
  l.chunk_bytes = even_chunk(in.row_bytes, stage, kCut);
  std::uint32_t ctas = in.link == Link::host ? kHostTmaCtas : in.sm_count;
  if (in.link == Link::peer) {
    const std::uint32_t enough = in.writes_remote ? kPeerPushCtas : kPeerPullCtas;
    const std::uint32_t full = in.compute_major >= 10 ? 2 * enough : enough;
    // Smaller stages keep fewer bytes in flight a ring.
    ctas = std::min(in.sm_count, full * stage / l.chunk_bytes);
  }
  l.ctas = within(ctas, in);
  return l;
}

// A shape for the plain and the generic kernel.
Launch vector_launch(const ChooseInput& in, Family family) {
  Launch l;
  l.family = family;
  const bool host = in.link == Link::host, budget = in.max_sms != 0;
  // One large CTA an SM where SMs are few: the fewer, the more loads each needs in flight.
  l.threads = budget && !host ? 1024 : kFullThreads;
  l.ctas = within(host ? kHostCtas : kFullCtasPerSm * in.sm_count, in);
  // Small transfers: smaller chunks, so that every worker has some.
  const bool wide = host || budget;
  const std::uint64_t workers = std::uint64_t{l.ctas} * (wide ? 4 : l.threads / 32);
  const std::uint64_t share = std::bit_floor(std::max<std::uint64_t>(1, in.bytes() / workers));
  const std::uint64_t most =
      std::clamp<std::uint64_t>(share, kPassBytes, wide ? 65536 : kFullChunk);
  l.chunk_bytes = even_chunk(in.row_bytes, most, in.row_bytes > most ? kPassBytes : 16);
  l.group = group_for(l.chunk_bytes, wide && family == Family::plain ? l.threads : 32);
  return l;
}

Launch kernel_launch(const ChooseInput& in) {
  if (in.alignment != 16) return vector_launch(in, Family::generic);
  const bool budget = in.max_sms != 0, large = in.bytes() >= kBulkBytes;
  bool tma = large;
  if (in.link == Link::peer)
    tma = budget || !in.writes_remote || in.row_bytes >= kPushTmaRowBytes;
  else if (in.link == Link::same_gpu)
    tma = budget || large;
  return tma && tma_possible(in) ? tma_launch(in) : vector_launch(in, Family::plain);
}

}  // namespace

Choice choose(const ChooseInput& in) noexcept {
  Choice choice;
  const double bytes = static_cast<double>(in.bytes());
  const double engine_us = engine_cost(in).us(bytes, static_cast<double>(in.engine_copies));
  const double kernel_us = kernel_cost(in).us(bytes, 1);
  choice.engine = in.copy == CopyMethod::engine;
  // Copies in an engine's queue cannot be taken back: on a caller's stream, which may be blocked
  // for long, only a kernel can be aborted before it has started.
  if (in.copy == CopyMethod::automatic && !in.ordered) choice.engine = engine_us < kernel_us;
  choice.expected_us = choice.engine ? engine_us : kernel_us;
  if (!choice.engine) {
    choice.launch = kernel_launch(in);
  } else if (in.link == Link::same_gpu && in.engine_copies > 1) {
    choice.streams = 4;  // 703 against 514 GB/s; over a link one engine fills it
  }
  return choice;
}

std::uint32_t alignment_of(const plan::Plan& plan) noexcept {
  std::uint64_t bits = 16 | plan.row_bytes | plan.source.block_stride | plan.target.block_stride;
  for (const plan::Side* side : {&plan.source, &plan.target}) {
    if (side->even) {
      bits |= side->plane_base.front() | (plan.planes > 1 ? side->plane_stride : 0);
      continue;
    }
    for (const std::uint64_t base : side->plane_base) bits |= base;
  }
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

std::string describe(const Choice& choice, const ChooseInput& in) {
  if (choice.engine)
    return fmt::format("copy engine{}, {} {}", in.engine_flat ? "" : " 2D", in.engine_copies,
                       in.engine_copies == 1 ? "copy" : "copies");
  const std::uint32_t sms = std::min(choice.launch.ctas, in.sm_count);
  return fmt::format("kernel {}, {} {}", to_string(choice.launch.family), sms,
                     sms == 1 ? "SM" : "SMs");
}

}  // namespace kvferry::path
