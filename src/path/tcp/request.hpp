#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/pool_impl.hpp"
#include "path/tcp/packed_rows.hpp"
#include "wire/messages.hpp"

namespace kvferry::path::tcp {

// Checks a peer's request against the pool it names and lays out its side. Cost: O(runs). Throws:
// Error{invalid_argument} naming what is wrong: layers or blocks that the pool does not have, a
// byte count that does not follow from them, a block that would be written twice.
std::shared_ptr<const PackedRows> lay_out_request(const wire::MoveRequest& request,
                                                  const detail::PoolImpl& pool);

// The size of a transfer's chunks: enough of them that every stream has some and the GPU's copies
// overlap the network's, few enough that a chunk's own costs do not show; small where a rate limit
// makes each take long.
std::uint32_t choose_chunk_bytes(std::uint64_t bytes, std::uint64_t block_bytes, unsigned streams,
                                 std::uint64_t bytes_per_s) noexcept;

}  // namespace kvferry::path::tcp
