#include "bench/client_suite.hpp"

#include <fmt/format.h>

#include <string_view>

#include "units.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kBlock = 65536;
constexpr std::uint32_t kLayers = 40;
// Of a client's pool: what fits 256 MiB, or where memory is short, 64 MiB.
constexpr std::uint32_t kPoolBlocks = 102, kSmallPoolBlocks = 25;
constexpr std::uint32_t kMoved = 64, kSmallMoved = 16;
// What a process takes on a GPU beside its pool: context, modules, stacks of all SMs (measured 500
// MiB on H200).
constexpr std::uint64_t kContextBytes = 600 * kMiB;

struct Crowd {
  std::uint32_t clients, processes, servers;
  const char* direction;
};

std::uint64_t pool_bytes(std::uint32_t blocks) { return kBlock * kLayers * blocks; }

// What all client pools may take together.
std::uint64_t room(const DevicePair& pair, const Topology& topology, const Crowd& crowd) {
  // The rest is for servers, and for everybody else.
  if (pair.client == "host") return topology.host_bytes / 5 * 3;
  for (const auto& gpu : topology.gpus) {
    if (gpu.device != pair.client) continue;
    const std::uint64_t contexts = kContextBytes * (crowd.processes + crowd.servers);
    const std::uint64_t usable = gpu.free_bytes / 10 * 8;
    return usable > contexts ? usable - contexts : 0;
  }
  return 0;
}

}  // namespace

std::uint32_t client_pool_blocks(const Work& work) {
  return work.blocks == kSmallMoved ? kSmallPoolBlocks : kPoolBlocks;
}

void add_client_works(const DevicePair& pair, const Topology& topology, bool quick, Suite& suite) {
  static constexpr Crowd kCrowds[] = {{1, 1, 1, "pull"},  {2, 2, 1, "pull"},   {8, 8, 1, "pull"},
                                      {64, 8, 1, "pull"}, {64, 64, 1, "pull"}, {1, 1, 8, "pull"},
                                      {2, 2, 1, "both"}};
  for (const Crowd& crowd : kCrowds) {
    const bool first_look = crowd.clients == 2 && std::string_view(crowd.direction) == "pull";
    if (quick && !first_look) continue;
    const std::uint64_t most = room(pair, topology, crowd);
    // Eight servers have pools of their own.
    const std::uint32_t pools = crowd.clients + (crowd.servers > 1 ? 2 * crowd.servers : 2);
    const bool small = pools * pool_bytes(kPoolBlocks) > most;
    Work w = pair_work(Group::clients, pair, kBlock, small ? kSmallMoved : kMoved, kLayers);
    w.clients = crowd.clients;
    w.processes = crowd.processes;
    w.servers = crowd.servers;
    w.direction = crowd.direction;
    if (pools * pool_bytes(small ? kSmallPoolBlocks : kPoolBlocks) > most) {
      suite.skipped.push_back(
          {w.key(), fmt::format("{} pools of {} do not fit the memory of {} beside the rest", pools,
                                format_bytes(pool_bytes(kSmallPoolBlocks)), pair.client)});
      continue;
    }
    suite.works.push_back(std::move(w));
  }
}

}  // namespace kvferry::cli::bench
