#include "kernels/copy_args.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

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

std::uint32_t tables_of(const plan::Plan& plan) {
  return (plan.source.even ? 0u : 1u) + (plan.target.even ? 0u : 1u);
}

bool is_narrow(const plan::Plan& plan) { return plan.id_limit <= 1u << 16; }

SideArgs side_args(const plan::Side& side, std::uint32_t first_plane, std::uint32_t table) {
  SideArgs args;
  args.base = side.even ? side.plane_base.front() + first_plane * side.plane_stride : 0;
  args.plane_stride = side.plane_stride;
  args.block_stride = side.block_stride;
  args.table = table;
  args.even = side.even ? 1 : 0;
  return args;
}

std::uint32_t parts_of(std::uint32_t whole, std::uint32_t most) {
  return (whole + most - 1) / most;
}
std::uint32_t part_of(std::uint32_t whole, std::uint32_t most) {
  const std::uint32_t parts = parts_of(whole, most);
  return (whole + parts - 1) / parts;
}

// Calls with the place of a pair in the slice, the source id and the target id.
template <typename Put>
void for_each_pair(const plan::Plan& plan, const Slice& slice, Put put) {
  const plan::Run* run = plan.runs.data() + slice.run;
  if (plan.runs.size() == plan.blocks) {  // scattered ids: every run is one block
    for (std::uint32_t k = 0; k < slice.blocks; ++k) put(k, run[k].src, run[k].dst);
    return;
  }
  std::uint32_t i = slice.in_run;
  for (std::uint32_t k = 0; k < slice.blocks; ++k) {
    put(k, run->src + i, run->dst + i);
    if (++i == run->count) {
      ++run;
      i = 0;
    }
  }
}

}  // namespace

Slicer::Slicer(const plan::Plan& plan) : plan_(&plan) {
  constexpr std::uint32_t kWords = kPayloadBytes[kPayloadClasses - 1] / 8;
  const std::uint32_t tables = tables_of(plan);
  planes_each_ = tables == 0 ? plan.planes : part_of(plan.planes, kWords / 2 / tables);
  const std::uint32_t pairs_a_word = is_narrow(plan) ? 2 : 1;
  blocks_each_ = part_of(plan.blocks, (kWords - tables * planes_each_) * pairs_a_word);
}

std::uint32_t Slicer::count() const noexcept {
  return parts_of(plan_->planes, planes_each_) * parts_of(plan_->blocks, blocks_each_);
}

bool Slicer::next(Slice& slice) {
  if (block_ == plan_->blocks) {
    block_ = in_run_ = 0;
    run_ = 0;
    plane_ += std::min(planes_each_, plan_->planes - plane_);
  }
  if (plane_ == plan_->planes) return false;
  slice.first_plane = plane_;
  slice.planes = std::min(planes_each_, plan_->planes - plane_);
  slice.blocks = std::min(blocks_each_, plan_->blocks - block_);
  slice.run = run_;
  slice.in_run = in_run_;
  block_ += slice.blocks;
  if (block_ == plan_->blocks) return true;
  for (std::uint32_t left = slice.blocks; left > 0;) {
    const std::uint32_t taken = std::min(left, plan_->runs[run_].count - in_run_);
    left -= taken;
    in_run_ += taken;
    if (in_run_ == plan_->runs[run_].count) {
      ++run_;
      in_run_ = 0;
    }
  }
  return true;
}

CopyArgs make_args(const plan::Plan& plan, const Slice& slice, const Launch& launch) {
  CopyArgs a;
  const std::uint32_t target_table = plan.source.even ? 0 : slice.planes;
  a.source = side_args(plan.source, slice.first_plane, 0);
  a.target = side_args(plan.target, slice.first_plane, target_table);
  a.pairs = target_table + (plan.target.even ? 0 : slice.planes);
  a.narrow = is_narrow(plan) ? 1 : 0;
  const std::uint32_t group = launch.family == Family::tma ? 32 : launch.group;
  a.workers = launch.ctas * (launch.threads / group);
  a.group = launch.group;
  a.blocks = slice.blocks;
  a.chunk_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(launch.chunk_bytes, plan.row_bytes));
  a.chunks = static_cast<std::uint32_t>((plan.row_bytes + a.chunk_bytes - 1) / a.chunk_bytes);
  a.tail_bytes = static_cast<std::uint32_t>(
      plan.row_bytes - static_cast<std::uint64_t>(a.chunks - 1) * a.chunk_bytes);
  const std::uint64_t items = static_cast<std::uint64_t>(slice.blocks) * slice.planes * a.chunks;
  a.rounds = items / a.workers;
  a.extra = static_cast<std::uint32_t>(items % a.workers);
  a.step_chunk = a.workers % a.chunks;
  a.step_block = a.workers / a.chunks % a.blocks;
  a.step_plane = a.workers / a.chunks / a.blocks;
  std::uint32_t poll = std::bit_ceil(std::max(1u, kPollBytes / a.chunk_bytes));
  if (launch.family == Family::tma) poll = std::max(poll, kMinRingPoll);
  a.poll_mask = poll - 1;
  return a;
}

ControlArgs make_control(const Control& control, std::uint32_t launch, std::uint32_t launches) {
  const std::uint32_t ticket = (control.ticket - 1 + launch) % kMaxTicket + 1;
  ControlArgs args;
  args.words = control.words;
  args.relay = control.relay;
  args.go = ticket << 2 | 1;
  args.stop = ticket << 2 | 2;
  // What follows an aborted launch must not even begin.
  args.handshake = control.handshake || launch > 0 ? 1 : 0;
  args.tell_end = control.tell_end && launch + 1 == launches ? 1 : 0;
  return args;
}

std::size_t payload_bytes(const plan::Plan& plan, const Slice& slice) {
  const std::size_t pairs = is_narrow(plan) ? (slice.blocks + 1) / 2 : slice.blocks;
  return (std::size_t{tables_of(plan)} * slice.planes + pairs) * sizeof(std::uint64_t);
}

void write_payload(const plan::Plan& plan, const Slice& slice, std::uint64_t* out) {
  for (const plan::Side* side : {&plan.source, &plan.target})
    if (!side->even)
      out = std::copy_n(side->plane_base.begin() + slice.first_plane, slice.planes, out);
  if (!is_narrow(plan))
    return for_each_pair(plan, slice,
                         [out](std::uint32_t k, std::uint64_t source, std::uint64_t target) {
                           out[k] = source | target << 32;
                         });
  out[(slice.blocks - 1) / 2] = 0;  // an odd number of pairs leaves half of the last word
  auto* halves = reinterpret_cast<unsigned char*>(out);
  for_each_pair(plan, slice, [halves](std::uint32_t k, std::uint32_t source, std::uint32_t target) {
    const std::uint32_t pair = source | target << 16;
    std::memcpy(halves + sizeof pair * k, &pair, sizeof pair);
  });
}

std::uint32_t launches(const plan::Plan& plan) { return Slicer(plan).count(); }

}  // namespace kvferry::kernels
