#pragma once

#include <cstdint>

#include "plan/plan.hpp"

namespace kvferry::plan {

// The longest row make_plan accepts, far above CacheShape's 1 GiB a block.
inline constexpr std::uint64_t kMaxRowBytes = 1ull << 40;

// Checks the addresses a plan touches: that none lies beyond the end of the address space, and,
// where both sides are in one address space, that no row it writes shares a byte with a row it
// reads. Rows of one side are not compared with each other.
//
// O(planes) where the two sides' rows lie in disjoint ranges of addresses, which is the
// ordinary case. Otherwise exact, at O(ids log ids) for each distance between planes that are
// near each other; allocates then.
// Throws: Error{invalid_argument}.
void check_addresses(const Plan& plan, std::uint32_t highest_read, std::uint32_t highest_written,
                     bool one_address_space);

}  // namespace kvferry::plan
