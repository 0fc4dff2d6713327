#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/result.hpp"
#include "bench/topology.hpp"
#include "kvferry/shape.hpp"

// What is measured on a machine. Pure.
namespace kvferry::cli::bench {

// Of every pool; a work that moves fewer moves the first ones.
inline constexpr std::uint32_t kPoolLayers = 40;

struct Suite {
  std::vector<Work> works;  // works that need the same pools stand together
  std::vector<Skipped> skipped;
};

// Every work that this machine can do. Headline figures are of every pair of devices; everything
// else of the first pair of each kind of link, since pairs of one kind behave alike.
Suite make_suite(const Topology& topology, bool quick);

// The works, and what was skipped, that one of the texts names: a group, or a part of a key. An
// empty list names all. Throws: Error{invalid_argument} for a text that names nothing, listing the
// groups.
Suite select(const Suite& suite, std::string_view only);

// A geometry whose blocks have so many bytes: the usual 2 x 8 heads x 128 dims in bf16 where the
// size allows it.
// Throws: Error{invalid_argument} where there is none (0, or above the limits of a shape).
CacheShape shape_for(std::uint64_t block_bytes, std::uint32_t layers);

// The devices of a work, as the program calls them: the server's pool and the client's.
const std::string& server_device(const Work& work) noexcept;
const std::string& client_device(const Work& work) noexcept;
// The one that copies: the client's GPU, or the server's where the client has none. "host": neither
// has.
const std::string& copying_device(const Work& work) noexcept;

// How large the pools of a work are, in blocks of each layer: many times what is moved, so that
// scattered blocks are scattered.
std::uint32_t pool_blocks(const Work& work, const Topology& topology, bool quick);

// Of each of the clients in group `clients`.
std::uint32_t client_pool_blocks(const Work& work);

}  // namespace kvferry::cli::bench
