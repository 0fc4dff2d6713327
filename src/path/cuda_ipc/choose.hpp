#pragma once

#include <cstdint>
#include <string>

#include "kernels/copy.hpp"
#include "kvferry/copy_costs.hpp"
#include "kvferry/transfer.hpp"
#include "plan/plan.hpp"

namespace kvferry::path {

// What lies between the two pools, seen from the GPU that copies.
enum class Link : std::uint8_t { same_gpu, peer, host };

inline constexpr CopyCosts kDefaultCosts{};

// All that the choice of a method depends on.
struct ChooseInput {
  std::uint64_t row_bytes = 0;
  std::uint32_t blocks = 0, planes = 0;
  // The largest power of two, at most 16, that divides every address, stride and size.
  std::uint32_t alignment = 16;
  std::uint64_t engine_copies = 0;
  bool engine_flat = false;  // each of them is one contiguous piece
  Link link = Link::same_gpu;
  const CopyCosts* costs = &kDefaultCosts;  // borrowed
  int compute_major = 9;
  std::uint32_t sm_count = 132;
  std::uint32_t shared_bytes = 232448;  // per CTA, opted in
  std::uint32_t max_sms = 0;            // the caller's budget; 0: none
  CopyMethod copy = CopyMethod::automatic;
  bool ordered = false;        // on a caller's stream
  bool writes_remote = false;  // a push: the GPU that copies writes over the link
  bool to_host = false;        // link host: the target is the host's
  std::uint64_t bytes() const noexcept {
    return static_cast<std::uint64_t>(blocks) * planes * row_bytes;
  }
};

struct Choice {
  bool engine = false;
  std::uint32_t streams = 1;  // the engine's copies are spread over so many
  kernels::Launch launch;     // where !engine
  double expected_us = 0;     // call to done
};

// Pure. Never chooses a kernel that the alignment or the device does not allow.
Choice choose(const ChooseInput& input) noexcept;

// The `alignment` of a plan.
std::uint32_t alignment_of(const plan::Plan& plan) noexcept;

// "kernel tma, 24 SMs", "copy engine 2D, 64 copies"
std::string describe(const Choice& choice, const ChooseInput& input);

}  // namespace kvferry::path
