#pragma once

#include <cstdint>
#include <vector>

#include "path/tcp/packed_rows.hpp"
#include "plan/plan.hpp"

namespace kvferry::path::tcp {

// The copies that pack a range of a transfer's stream from the pool's rows into one contiguous
// stage at `stage`, or scatter it from there: a kernel runs each. Few: a plan for what begins, and
// what ends, in the middle of a layer and of a block, and one for the layers between; each again
// for keys and values where they are apart. Requires: the range lies within rows.bytes().
std::vector<plan::Plan> stage_plans(const PackedRows& rows, std::uint64_t offset,
                                    std::uint64_t bytes, std::uint64_t stage, bool pack);

}  // namespace kvferry::path::tcp
