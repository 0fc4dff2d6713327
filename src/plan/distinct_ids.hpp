#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace kvferry::plan {

// The place of the first id that is in the list before it as well; nullopt when all differ.
//
// O(ids) for ids below 4 Mi, O(ids log ids) beyond. Takes no lock and normally allocates nothing:
// each thread keeps a table that grows to the largest id it has seen (2 bytes an id, 8 MiB at
// most) and is cleared every 65,535 calls.
// Requires: no id above `highest`.
std::optional<std::size_t> find_repeated(std::span<const std::uint32_t> ids, std::uint32_t highest);

}  // namespace kvferry::plan
