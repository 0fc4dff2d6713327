#include "kernels/copy_args.hpp"

#include <algorithm>
#include <bit>

namespace kvferry::kernels {

std::string to_string(Family family) {
  switch (family) {
    case Family::plain: return "plain";
    case Family::tma: return "tma";
    case Family::generic: return "generic";
  }
  return "unknown";
}

namespace {

// A worker looks at the abort word about once in this many bytes: 70 us at 3.75 GB/s, what a ring
// moves where 24 CTAs share NVLink.
constexpr std::uint32_t kPollBytes = 256 << 10;
// A ring must not wait for its own question: a round trip to the host takes about one stage.
constexpr std::uint32_t kMinRingPoll = 8;

std::size_t payload_words(const plan::Plan& plan) {
  return (plan.source.even ? 0 : plan.planes) + (plan.target.even ? 0 : plan.planes) + plan.blocks;
}

SideArgs side_args(const plan::Side& side, std::uint32_t table) {
  SideArgs args;
  args.base = side.plane_base.front();
  args.plane_stride = side.plane_stride;
  args.block_stride = side.block_stride;
  args.table = table;
  args.even = side.even ? 1 : 0;
  return args;
}

}  // namespace

CopyArgs make_args(const plan::Plan& plan, const Launch& launch, const Control& control) {
  CopyArgs a;
  const std::uint32_t target_table = plan.source.even ? 0 : plan.planes;
  a.source = side_args(plan.source, 0);
  a.target = side_args(plan.target, target_table);
  a.pairs = target_table + (plan.target.even ? 0 : plan.planes);
  a.workers = launch.family == Family::tma ? launch.ctas * kTmaRings
                                           : launch.ctas * (launch.threads / launch.group);
  a.group = launch.group;
  a.blocks = plan.blocks;
  a.chunk_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(launch.chunk_bytes, plan.row_bytes));
  a.chunks = static_cast<std::uint32_t>((plan.row_bytes + a.chunk_bytes - 1) / a.chunk_bytes);
  a.tail_bytes = static_cast<std::uint32_t>(
      plan.row_bytes - static_cast<std::uint64_t>(a.chunks - 1) * a.chunk_bytes);
  const std::uint64_t rows = static_cast<std::uint64_t>(plan.blocks) * plan.planes;
  a.rounds = rows * a.chunks / a.workers;
  a.extra = static_cast<std::uint32_t>(rows * a.chunks % a.workers);
  a.step_chunk = a.workers % a.chunks;
  a.step_block = a.workers / a.chunks % a.blocks;
  a.step_plane = a.workers / a.chunks / a.blocks;
  std::uint32_t poll = std::bit_ceil(std::max(1u, kPollBytes / a.chunk_bytes));
  if (launch.family == Family::tma) poll = std::max(poll, kMinRingPoll);
  a.poll_mask = poll - 1;
  a.handshake = control.handshake ? 1 : 0;
  a.words = control.words;
  a.relay = control.relay;
  a.go = control.ticket << 2 | 1;
  a.stop = control.ticket << 2 | 2;
  return a;
}

void write_payload(const plan::Plan& plan, std::uint64_t* out) {
  if (!plan.source.even) out = std::copy_n(plan.source.plane_base.begin(), plan.planes, out);
  if (!plan.target.even) out = std::copy_n(plan.target.plane_base.begin(), plan.planes, out);
  for (const plan::Run& run : plan.runs)
    for (std::uint32_t i = 0; i < run.count; ++i)
      *out++ = (run.src + i) | static_cast<std::uint64_t>(run.dst + i) << 32;
}

std::size_t payload_bytes(const plan::Plan& plan) {
  return payload_words(plan) * sizeof(std::uint64_t);
}

}  // namespace kvferry::kernels
