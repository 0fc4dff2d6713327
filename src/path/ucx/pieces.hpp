#pragma once

#include <cstdint>
#include <optional>

#include "plan/plan.hpp"

namespace kvferry::path::ucx {

// One get or put.
struct Piece {
  std::uint64_t source = 0, target = 0;  // addresses, each in its own process
  std::uint64_t bytes = 0;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// The contiguous pieces of a plan, one after the other: neighbours merged, long ones cut.
class Pieces {
 public:
  // So that a cancel comes soon into effect and a window holds several.
  static constexpr std::uint64_t kMaxBytes = 1 << 20;

  explicit Pieces(plan::Plan plan) : plan_(std::move(plan)) { rewind(); }
  // nullopt: that was all.
  std::optional<Piece> next();

 private:
  void rewind();
  bool next_stretch();

  plan::Plan plan_;
  std::uint32_t plane_ = 0, in_run_ = 0;
  std::size_t run_ = 0;
  Piece stretch_;  // what is left of it
};

}  // namespace kvferry::path::ucx
