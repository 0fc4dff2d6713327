#include "bench/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "bench/client_suite.hpp"
#include "bench/network_suite.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20, kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kBlock = 65536;  // of the default shape
constexpr std::uint64_t kSweepBytes = 160 * kMiB;
constexpr std::uint32_t kLayers = kPoolLayers;
// Pairs of devices with a headline figure; a machine of 8 GPUs has 81.
constexpr std::size_t kMostPairs = 96;
// With less free memory than this, host pools are small and 1 GiB is not moved.
constexpr std::uint64_t kRoomyHost = 10 * kGiB;

bool roomy(const Topology& topology) { return topology.host_bytes >= kRoomyHost; }

class Builder {
 public:
  Builder(const Topology& topology, bool quick) : topology_(topology), quick_(quick) {}

  Suite build() {
    find_pairs();
    for (const DevicePair& pair : pairs_) {
      throughput(pair);
      if (!pair.sweeps) continue;
      latency(pair);
      posting(pair);
      sms(pair);
    }
    for (const DevicePair& pair : pairs_) {
      if (pair.sweeps) blocks(pair);
    }
    for (const DevicePair& pair : pairs_) {
      if (pair.sweeps && pair.link != "host_gpu") {
        add_client_works(pair, topology_, quick_, suite_);
      }
    }
    add_network_works(topology_, quick_, suite_);
    return std::move(suite_);
  }

 private:
  void add_pair(std::string link, std::string server, std::string client) {
    const bool first = kinds_.insert(link + (server == "host" ? "" : "+")).second;
    pairs_.push_back({std::move(link), std::move(server), std::move(client), first});
  }

  void find_pairs() {
    add_pair("host", "host", "host");
    if (topology_.gpus.empty()) skip("GPU memory", topology_.no_gpus);
    for (const auto& gpu : topology_.gpus) add_pair("same_gpu", gpu.device, gpu.device);
    for (const auto& peer : topology_.peers) {
      const std::string& client = topology_.gpus[peer.from].device;
      const std::string& server = topology_.gpus[peer.to].device;
      if (peer.link.empty()) {
        skip(fmt::format("{} and {}", client, server), peer.why);
      } else {
        add_pair(peer.link, server, client);
      }
    }
    for (const auto& gpu : topology_.gpus) {
      add_pair("host_gpu", "host", gpu.device);
      add_pair("host_gpu", gpu.device, "host");
    }
    limit_pairs();
  }

  void limit_pairs() {
    // One pair of each kind says it all in a few seconds.
    const std::size_t most = quick_ ? 0 : kMostPairs;
    std::size_t kept = 0, left_out = 0;
    std::erase_if(pairs_, [&](const DevicePair& pair) {
      const bool keep = pair.sweeps || kept < most;
      ++(keep ? kept : left_out);
      return !keep;
    });
    if (left_out > 0) {
      skip(fmt::format("{} more pairs of devices", left_out),
           quick_ ? "--quick measures one pair of each kind of link"
                  : fmt::format("at most {} pairs are measured", most));
    }
  }

  void skip(std::string what, std::string why) {
    suite_.skipped.push_back({std::move(what), std::move(why)});
  }

  // A scattered pull, automatic.
  static Work work(Group group, const DevicePair& pair, std::uint64_t block_bytes,
                   std::uint32_t blocks) {
    return pair_work(group, pair, block_bytes, blocks, kLayers);
  }

  void add(Work w, bool pull = true) {
    if (!pull) {
      w.direction = "push";
      std::swap(w.from, w.to);
    }
    suite_.works.push_back(std::move(w));
  }

  void add_with(Work w, std::string_view copy, std::string_view order, bool pull) {
    w.copy = copy;
    w.order = order;
    add(std::move(w), pull);
  }

  void throughput(const DevicePair& pair) {
    const Work usual = work(Group::throughput, pair, kBlock, 64);
    if (!pair.sweeps) return add(usual);
    for (const bool pull : {true, false}) {
      add_with(usual, "auto", "scattered", pull);
      if (pull || !quick_) add_with(usual, "auto", "contiguous", pull);
    }
    if (quick_) return;
    if (pair.link != "host") {
      for (const bool pull : {true, false}) {
        for (const char* copy : {"kernel", "engine"}) {
          add_with(usual, copy, "scattered", pull);
          add_with(usual, copy, "contiguous", pull);
        }
      }
    }
    const bool host = pair.server == "host" || pair.client == "host";
    const Work large = work(Group::throughput, pair, kBlock, 400);
    if (host && !roomy(topology_)) {
      skip(large.key(), fmt::format("it takes {} GiB of free host memory", kRoomyHost / kGiB));
    } else {
      for (const bool pull : {true, false}) add_with(large, "auto", "scattered", pull);
      add_with(large, "auto", "contiguous", true);
    }
    const Work small = work(Group::throughput, pair, 8192, 480);
    for (const bool pull : {true, false}) add_with(small, "auto", "scattered", pull);
  }

  void latency(const DevicePair& pair) {
    Work one_layer = pair_work(Group::latency, pair, kBlock, 1, 1);
    const Work all_layers = work(Group::latency, pair, kBlock, 1);
    if (!quick_) add_with(all_layers, "prepared", "scattered", true);
    for (const bool pull : {true, false}) {
      if (quick_ && !pull) break;
      add(all_layers, pull);
      if (quick_) break;
      add(one_layer, pull);
      if (pair.link == "host") continue;
      for (const char* copy : {"kernel", "engine"}) {
        add_with(all_layers, copy, "scattered", pull);
      }
    }
  }

  void posting(const DevicePair& pair) {
    // As many ids as 4 GiB hold; host pools are smaller, and what posting costs depends on ids.
    const bool host = pair.server == "host" || pair.client == "host";
    const Work few = work(Group::posting, pair, kBlock, 64);
    const Work many = work(Group::posting, pair, host ? 8192 : kBlock, 1638);
    add(few);
    if (quick_) return;
    add(few, false);
    add_with(few, "prepared", "scattered", true);
    add(many);
    add_with(many, "prepared", "scattered", true);
  }

  void sms(const DevicePair& pair) {
    if (pair.link == "host") return;
    const std::array<std::uint32_t, 9> budgets{1, 2, 4, 8, 16, 24, 32, 64, 0};
    const auto gpu = std::ranges::find_if(topology_.gpus, [&](const auto& g) {
      return g.device == (pair.client == "host" ? pair.server : pair.client);
    });
    for (const bool pull : {true, false}) {
      if (!pull && (quick_ || pair.link == "host_gpu")) break;
      for (const std::uint32_t budget : budgets) {
        if ((quick_ && budget != 16) || budget >= gpu->sms) continue;
        Work w = work(Group::sms, pair, kBlock, 64);
        w.max_sms = budget;
        add_with(w, "kernel", "scattered", pull);
      }
      if (!quick_) add_with(work(Group::sms, pair, kBlock, 64), "engine", "scattered", pull);
    }
  }

  void blocks(const DevicePair& pair) {
    // Powers of two, one and a half times them, and what real caches have: 48 KiB, 72 KiB (an MLA
    // latent of 576 in blocks of 64 tokens); 1,000 is a multiple of 8 only.
    static constexpr std::uint64_t kSizes[] = {512,    1000,   1024,    1536,    2048,    3072,
                                               4096,   6144,   8192,    16384,   24576,   32768,
                                               49152,  65536,  73728,   98304,   131072,  262144,
                                               393216, 524288, 1 << 20, 3 << 19, 2 << 20, 4 << 20};
    for (const std::uint64_t size : kSizes) {
      if (quick_ && size != 4096 && size != 1 << 20) continue;
      add(sweep(pair, size));
      if (quick_) continue;
      if (size != 2048 && size != 8192 && size != 65536) continue;
      for (const char* layout : {"kv_apart", "padded"}) {
        Work w = sweep(pair, size);
        w.layout = layout;
        add(std::move(w));
      }
    }
  }

  static Work sweep(const DevicePair& pair, std::uint64_t size) {
    const std::uint64_t count = kSweepBytes / (size * kLayers);
    return work(Group::blocks, pair, size,
                static_cast<std::uint32_t>(std::max<std::uint64_t>(1, count)));
  }

  const Topology& topology_;
  bool quick_;
  Suite suite_;
  std::vector<DevicePair> pairs_;
  std::set<std::string> kinds_;
};

}  // namespace

Suite make_suite(const Topology& topology, bool quick) { return Builder(topology, quick).build(); }

Work pair_work(Group group, const DevicePair& pair, std::uint64_t block_bytes, std::uint32_t blocks,
               std::uint32_t layers) {
  Work w;
  w.group = group;
  w.path = pair.link == "host" ? "host_shm" : "cuda_ipc";
  w.link = pair.link;
  w.from = pair.server;
  w.to = pair.client;
  w.direction = "pull";
  w.order = "scattered";
  w.copy = "auto";
  w.block_bytes = block_bytes;
  w.blocks = blocks;
  w.layers = layers;
  return w;
}

const std::string& server_device(const Work& work) noexcept {
  return work.direction == "push" ? work.to : work.from;
}
const std::string& client_device(const Work& work) noexcept {
  return work.direction == "push" ? work.from : work.to;
}
const std::string& copying_device(const Work& work) noexcept {
  return client_device(work) == "host" ? server_device(work) : client_device(work);
}

std::uint32_t pool_blocks(const Work& work, const Topology& topology, bool quick) {
  const bool host = work.from == "host" || work.to == "host";
  const bool usual = work.block_bytes == kBlock;
  std::uint64_t bytes = host ? 512 * kMiB : kGiB;
  // 1638 blocks of 64 KiB are 4 GiB; 512 leave 400 some room to scatter.
  if (usual && !quick && !host) bytes = 4 * kGiB;
  if (usual && !quick && host && roomy(topology)) bytes = 1280 * kMiB;
  const std::uint64_t blocks = bytes / (work.block_bytes * kPoolLayers);
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(blocks, work.blocks));
}

}  // namespace kvferry::cli::bench
