#pragma once

#include <cstdint>
#include <span>

#include "path/path.hpp"

namespace kvferry::path {

// The remote pool's planes as addresses, given the address at which each of its regions is mapped.
// Throws: Error{refused} unless every block of every plane lies within its region.
plan::BlockMap map_offer(const RemoteEnd& remote, std::span<const std::uint64_t> region_addresses);

}  // namespace kvferry::path
