#pragma once

#include <cstdint>

#include "plan/plan.hpp"

namespace kvferry::path {

// One copy as a copy engine takes it: `height` rows of `width` bytes.
struct EngineCopy {
  std::uint64_t source = 0, target = 0;  // addresses
  std::uint64_t source_pitch = 0, target_pitch = 0;
  std::uint64_t width = 0, height = 1;
  std::uint64_t bytes() const noexcept { return width * height; }
};

// How a plan is cut into engine copies. Planes that are evenly spaced on both sides let one 2D copy
// take a run in every layer; otherwise each layer of a run is a copy.
enum class EngineCut : std::uint8_t {
  whole,         // everything is one contiguous piece on both sides
  run_planes,    // a copy a run: its blocks side by side, one row a plane
  block_planes,  // a copy a block: one row a plane
  run_rows,      // a copy a run and plane: one row a block
  run_pieces,    // a copy a run and plane: its blocks side by side
};

// The cut with the fewest copies that the engine can do. `max_pitch`: the device's limit on the
// bytes from one row of a 2D copy to the next. `planes_together`: on both sides all planes lie in
// one allocation; CUDA refuses a copy that begins in one and ends in another, however even the
// planes.
EngineCut cut_for_engine(const plan::Plan& plan, std::uint64_t max_pitch,
                         bool planes_together) noexcept;
// Copies of that cut (before splitting very large ones).
std::uint64_t engine_copies(const plan::Plan& plan, EngineCut cut) noexcept;
// Whether every copy is one contiguous piece.
bool is_flat(const plan::Plan& plan, EngineCut cut) noexcept;

// Yields the copies one by one, without storing them. Borrows the plan.
class EngineCopies {
 public:
  EngineCopies(const plan::Plan& plan, EngineCut cut) noexcept;
  // False when there are no more.
  bool next(EngineCopy& copy) noexcept;
  void moved(const plan::Plan& plan) noexcept { plan_ = &plan; }

 private:
  bool next_whole(EngineCopy& copy) noexcept;
  void split(EngineCopy& copy) noexcept;

  const plan::Plan* plan_;
  EngineCut cut_;
  std::uint32_t run_ = 0, plane_ = 0, block_ = 0;
  EngineCopy rest_;  // what is left of a copy too large to post at once
};

// Copies above this are posted in parts, so that an abort need not wait for all of one: 1.3 ms over
// NVLink, 10 ms over PCIe.
inline constexpr std::uint64_t kMaxEngineCopyBytes = 512ull << 20;

}  // namespace kvferry::path
