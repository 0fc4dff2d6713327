#include "path/cuda_ipc/choose.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace kvferry::path {
namespace {

using kernels::Family;
using kernels::Launch;

// What a method costs: start-up, then bytes, then a gap between the engine's copies. Measured on
// 2 x H200 from call to done, scattered blocks of 64 KiB in 40 layers (probes ce2d, sweep, hostgpu,
// vmm_probe; bench_cuda_copy repeats them).
struct Cost {
  double start_us;
  double gb_per_s;
  double gap_us;
  double us(double bytes, double copies) const {
    return start_us + bytes / (gb_per_s * 1e3) + (copies > 1 ? (copies - 1) * gap_us : 0);
  }
};

// NVLink: 1 copy of 2.5 MiB 14.9 us, 64 of them 674 us, contiguous 389 GB/s.
constexpr Cost kPeerEngine{8.3, 390, 3.6};
// NVLink: 2.5 MiB 18-19 us, 160 MiB 463 us.
constexpr Cost kPeerKernel{11.8, 370, 0};
// One GPU, one contiguous piece: 160 MiB 88-92 us. It is a kernel of the driver's.
constexpr Cost kSameFlatEngine{7.0, 1980, 3.0};
// One GPU, 2D: 64 copies 326 us; one of 2.5 MiB 10.7 us alone, but 24 us between other work, where
// the kernel takes 18 (bench_cuda_copy, 2 x H200).
constexpr Cost kSame2dEngine{20.0, 700, 5.1};
// One GPU: 2.5 MiB 11.5 us, 160 MiB 98-102 us.
constexpr Cost kSameKernel{10.0, 1820, 0};
// PCIe 5: 160 MiB in 64 copies 3252 us in, 3517 us out; contiguous 55 GB/s.
constexpr Cost kHostEngine{12, 55, 5.0};
// PCIe 5: scattered 51-52.4 GB/s, also from 16 CTAs.
constexpr Cost kHostKernel{14, 51.5, 0};

// With few SMs of the one GPU, rows from here on go by plain vectors (64 KiB: 711 against 460 GB/s
// from 16 CTAs, sweep on 2 x H200).
constexpr std::uint64_t kPlainRowBytes = 32768;
// On one GPU, transfers from here on go by bulk copies of every SM: after other work, with cold
// caches and translations, they take 102.4 us for 160 MiB where the best plain shape takes 105 and
// the usual ones 107 to 110, since they keep more bytes in flight (bench_cuda_copy --sweep, H200).
// Smaller ones end before that matters.
constexpr std::uint64_t kBulkBytes = 8u << 20;
// The plain shape with all SMs: 4 CTAs an SM of 512 threads, 64 threads a chunk of 8 KiB, 8 loads
// in flight; over NVLink the best of 200 or within 0.5 % of it (same sweep).
constexpr std::uint32_t kFullCtasPerSm = 4, kFullThreads = 512, kFullUnroll = 8, kFullChunk = 8192;
// Below this a bulk copy moves too little for its cost; groups of threads take a row each.
constexpr std::uint64_t kTmaRowBytes = 2048;
// CTAs that fill NVLink 4 by TMA: 24 reach 93-94 %, 16 reach 93 %. NVLink 5 has twice the rate.
constexpr std::uint32_t kPeerTmaCtas = 24;
// Enough to fill PCIe 5; more only take SMs from others.
constexpr std::uint32_t kHostCtas = 32;

Cost engine_cost(const ChooseInput& in) {
  if (in.link == Link::peer) return kPeerEngine;
  if (in.link == Link::host) return kHostEngine;
  return in.engine_flat ? kSameFlatEngine : kSame2dEngine;
}
Cost kernel_cost(const ChooseInput& in) {
  if (in.link == Link::peer) return kPeerKernel;
  return in.link == Link::host ? kHostKernel : kSameKernel;
}

std::uint32_t within(std::uint32_t ctas, const ChooseInput& in) {
  return std::max(1u, in.max_sms == 0 ? ctas : std::min(ctas, in.max_sms));
}

// Equal chunks of at most `most` bytes that are multiples of 16, so that no chunk is a sliver.
std::uint32_t even_chunk(std::uint64_t row_bytes, std::uint64_t most) {
  const std::uint64_t chunks = (row_bytes + most - 1) / most;
  const std::uint64_t chunk = (row_bytes + chunks - 1) / chunks;
  return static_cast<std::uint32_t>((chunk + 15) / 16 * 16);
}

// Threads for one chunk: enough that each has `unroll` vectors of it.
std::uint32_t group_for(std::uint32_t chunk_bytes, std::uint32_t unroll, std::uint32_t threads) {
  const std::uint32_t wanted = std::max(1u, chunk_bytes / (16 * unroll));
  return std::clamp(std::bit_floor(wanted), 8u, threads);
}

bool tma_possible(const ChooseInput& in) {
  return in.alignment == 16 && in.compute_major >= 9 && in.link != Link::host &&
         in.row_bytes >= kTmaRowBytes &&
         in.shared_bytes >= kernels::kTmaSharedBytes + kernels::kTmaStaticSharedBytes;
}

Launch tma_launch(const ChooseInput& in) {
  Launch l;
  l.family = Family::tma;
  l.threads = kernels::kTmaThreads;
  l.group = 32;
  l.chunk_bytes = even_chunk(in.row_bytes, kernels::kTmaStageBytes);
  std::uint32_t ctas = in.sm_count;
  if (in.link == Link::peer) {
    const std::uint32_t full = in.compute_major >= 10 ? 2 * kPeerTmaCtas : kPeerTmaCtas;
    // Smaller stages keep fewer bytes in flight a ring.
    ctas = std::min(in.sm_count, full * kernels::kTmaStageBytes / l.chunk_bytes);
  }
  l.ctas = within(ctas, in);
  return l;
}

// A shape for the plain and the generic kernel.
Launch vector_launch(const ChooseInput& in, Family family) {
  Launch l;
  l.family = family;
  l.unroll = 4;
  std::uint64_t most = 65536;
  std::uint32_t ctas = 0;
  if (in.link == Link::host) {
    l.threads = 512;
    l.unroll = 8;
    ctas = kHostCtas;
  } else {
    l.threads = kFullThreads;
    l.unroll = kFullUnroll;
    ctas = kFullCtasPerSm * in.sm_count;
    most = in.max_sms == 0 ? kFullChunk : 65536;
  }
  if (in.max_sms != 0 && in.link != Link::host) {
    // One large CTA an SM: the fewer SMs, the more loads each needs in flight.
    l.threads = 1024;
    l.unroll = in.link == Link::peer ? 8 : 4;
  }
  l.ctas = within(ctas, in);
  // Small transfers: smaller chunks, so that every CTA has some.
  const std::uint64_t share = std::max<std::uint64_t>(1, in.bytes() / (4ull * l.ctas));
  most = std::clamp<std::uint64_t>(std::bit_floor(share), 8192, most);
  l.chunk_bytes = even_chunk(in.row_bytes, most);
  l.group = group_for(l.chunk_bytes, l.unroll, l.threads);
  return l;
}

Launch kernel_launch(const ChooseInput& in) {
  if (in.alignment != 16) return vector_launch(in, Family::generic);
  const bool budget = in.max_sms != 0;
  // Over a link a few SMs of bulk copies pull as much as all of them do and leave the rest to
  // others; pushing, they lose 3 % (bench_cuda_copy).
  const bool over_link = budget || !in.writes_remote;
  const bool on_one_gpu = budget ? in.row_bytes < kPlainRowBytes : in.bytes() >= kBulkBytes;
  const bool tma = in.link == Link::peer ? over_link : on_one_gpu;
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
