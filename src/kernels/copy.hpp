#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.hpp"

// Kernels that run a plan: one launch (for long id lists a few) moves every row of every plane,
// with the ids in the kernel's parameters. No CUDA types here, so that the choice of a launch can
// be tested anywhere.
namespace kvferry::kernels {

enum class Family : std::uint8_t {
  // 16-byte vectors, several loads in flight a thread. Needs addresses and sizes that are multiples
  // of 16.
  plain,
  // Bulk asynchronous copies through a ring in shared memory, one ring a warp: fills a link from
  // few SMs. Needs multiples of 16 and compute capability 9.0.
  tma,
  // Any alignment and size.
  generic,
};
std::string to_string(Family family);

// Shapes of the TMA rings: 4 of them with stages of 8 KiB, which reach 95 % of a contiguous copy
// over NVLink from 16-24 SMs, or 8 with stages of 4 KiB, which take 2-3 % less time on one GPU
// (sweeps on 2 x H200). A CTA is a warp a ring; its stages take 192 KiB of shared memory either
// way.
inline constexpr std::uint32_t kTmaStages = 6;
inline constexpr std::uint32_t kTmaRoundBytes = 32768;  // one stage of every ring
inline constexpr std::uint32_t kTmaFewRings = 4, kTmaManyRings = 8;
constexpr std::uint32_t tma_stage_bytes(std::uint32_t rings) { return kTmaRoundBytes / rings; }
inline constexpr std::uint32_t kTmaSharedBytes = kTmaStages * kTmaRoundBytes;
// What the barriers and the stop flag take beside the stages.
inline constexpr std::uint32_t kTmaStaticSharedBytes = 512;

// Of a thread of the plain kernel: vectors of 16 bytes.
inline constexpr std::uint32_t kLoadsInFlight = 8;

// How to launch. A worker is a ring (tma) or a group of threads; work items are chunks of rows, and
// worker w takes items w, w + workers, ...
struct Launch {
  Family family = Family::plain;
  std::uint32_t ctas = 1;
  std::uint32_t threads = 256;  // a CTA; tma: 32 a ring
  std::uint32_t group =
      256;  // threads a worker: a power of two, at most `threads`; generic: at most 32
  std::uint32_t chunk_bytes = 65536;  // of a row at a time: a multiple of 16; tma: <= a stage
  friend bool operator==(const Launch&, const Launch&) = default;
};

// Words in mapped pinned host memory that a launch and the host share.
struct Words {
  // Host to GPU: 0, or an ErrorCode: start nothing new. What a caller's stream reads as status.
  std::uint32_t abort = 0;
  // GPU to host: the first CTA has started (only written with `handshake`).
  std::uint32_t started = 0;
  // GPU to host: a CTA left work undone because of `abort`.
  std::uint32_t stopped = 0;
  // GPU to host: everything of the copy has landed, or will never begin. Kernels write it with
  // `tell_end`, behind engine copies the stream does.
  std::uint32_t done = 0;
  std::uint32_t pad[12] = {};
};
static_assert(sizeof(Words) == 64);

inline constexpr std::uint32_t kMaxTicket = (1u << 30) - 1;

struct Control {
  Words* words = nullptr;
  // Two words in device memory, zero at first, for one launch after the other. The first: CTA 0
  // reads `abort` and passes it on here. Were every CTA to read the host's word, their reads of one
  // address would queue up on the bus, a microsecond each: 2.5 ms for the 2,560 items of 160 MiB
  // (measured on H200), 25 times the copy. The second counts the CTAs that have ended.
  std::uint32_t* relay = nullptr;
  // Tells a launch's word in `relay` from earlier ones': 1 to kMaxTicket. The first launch's; those
  // after it take the numbers that follow.
  std::uint32_t ticket = 1;
  // The first CTA says that it has started and then reads `abort`, and the others wait for what it
  // saw, so that the host knows of an aborted launch whether anything can still be written. Costs a
  // round trip to the host.
  bool handshake = false;
  // The last CTA writes `done`. The host sees it a microsecond before the kernel's event (2.5 MiB
  // over NVLink, 2 x H200).
  bool tell_end = false;
};
inline constexpr std::size_t kRelayBytes = 2 * sizeof(std::uint32_t);

// Loads the kernels into the current device's context and lets them use its shared memory, so that
// no later launch has to. Returns a cudaError_t.
int prepare_device(bool with_tma);
// How many launches a plan takes: one, but for lists of some 4,000 ids and more, since ids travel
// as kernel parameters (through memory they would wait for a copy of their own first).
std::uint32_t launches(const plan::Plan& plan);
// Starts the plan on a stream of the current device. Returns a cudaError_t.
// Requires: plan.blocks and plan.planes are not 0; launch suits the plan's alignment.
int launch_copy(const plan::Plan& plan, const Launch& launch, const Control& control, void* stream);

// A plan laid out as kernel parameters once, to be launched many times. Immutable.
class PackedCopy {
 public:
  // Requires: as launch_copy.
  PackedCopy(const plan::Plan& plan, const Launch& launch);
  ~PackedCopy();
  PackedCopy(const PackedCopy&) = delete;
  PackedCopy& operator=(const PackedCopy&) = delete;
  std::uint32_t launches() const noexcept;
  // On a stream of the current device. Any thread. Allocates nothing. Returns a cudaError_t.
  int start(const Control& control, void* stream) const;

 private:
  struct Part;
  std::vector<Part> parts_;
};

}  // namespace kvferry::kernels
