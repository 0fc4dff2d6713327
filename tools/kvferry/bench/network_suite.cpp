#include "bench/network_suite.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kBlock = 65536;
constexpr std::uint32_t kMoved = 64;  // blocks: 160 MiB
constexpr std::uint32_t kStreams[] = {1, 2, 8};

class NetworkBuilder {
 public:
  NetworkBuilder(const Topology& topology, bool quick, Suite& suite)
      : topology_(topology), quick_(quick), suite_(suite) {}

  void build() {
    find_streams();
    find_pairs();
    for (const DevicePair& pair : pairs_) add_tcp(pair);
    add_openssl();
    add_iperf3();
    add_ucx();
  }

 private:
  // A stream fills a core on each side; more of them than cores measure the scheduler.
  void find_streams() {
    for (const std::uint32_t streams : kStreams) {
      if (streams <= topology_.cores) {
        streams_.push_back(streams);
      } else {
        skip(fmt::format("tcp with {} streams", streams),
             fmt::format("it takes as many cores, and here are {}", topology_.cores));
      }
    }
    if (quick_ && streams_.size() > 2) streams_.resize(2);
  }

  // Host memory, each GPU with the next one, and host memory with a GPU: the network between them
  // is the same, so that other pairs would say nothing new.
  void find_pairs() {
    add_pair("host", "host", true);
    const auto& gpus = topology_.gpus;
    for (std::size_t i = 0; i < gpus.size(); ++i) {
      if (quick_ && i > 0) break;
      add_pair(gpus[(i + 1) % gpus.size()].device, gpus[i].device, i == 0);
    }
    if (gpus.empty() || quick_) return;
    add_pair("host", gpus[0].device, false);
    add_pair(gpus[0].device, "host", false);
  }

  void add_pair(const std::string& server, const std::string& client, bool sweeps) {
    pairs_.push_back({"loopback", server, client, sweeps});
  }

  void skip(std::string what, std::string why) {
    suite_.skipped.push_back({std::move(what), std::move(why)});
  }

  // A scattered pull.
  static Work work(Group group, const DevicePair& pair, std::uint32_t blocks) {
    Work w = pair_work(group, pair, kBlock, blocks, kPoolLayers);
    w.path = to_string(group);
    return w;
  }

  void add(Work w, bool pull, const char* order = "scattered") {
    w.order = order;
    if (!pull) {
      w.direction = "push";
      std::swap(w.from, w.to);
    }
    suite_.works.push_back(std::move(w));
  }

  static Work tcp_work(const DevicePair& pair, std::uint32_t blocks, std::uint32_t streams,
                       const char* wire) {
    Work w = work(Group::tcp, pair, blocks);
    w.streams = streams;
    w.wire = wire;
    return w;
  }

  void add_tcp(const DevicePair& pair) {
    if (!pair.sweeps) {
      const std::uint32_t two = std::min<std::uint32_t>(2, streams_.back());
      for (const bool pull : {true, false}) add(tcp_work(pair, kMoved, two, "plain"), pull);
      return;
    }
    // Works of as many streams and of one wire stand together: they share connections.
    for (const std::uint32_t streams : streams_) add_plain(pair, streams);
    for (const bool pull : {true, false}) {
      if (!quick_) add(tcp_work(pair, 1, topology_.usual_streams, "plain"), pull);
    }
    for (const std::uint32_t streams : streams_) {
      if (quick_ && (streams > 1 || pair.server != "host")) break;
      for (const bool pull : {true, false}) {
        if (pull || !quick_) add(tcp_work(pair, kMoved, streams, "tls"), pull);
      }
      if (!quick_ && streams == 1) add(tcp_work(pair, 1, 1, "tls"), true);
    }
  }

  void add_plain(const DevicePair& pair, std::uint32_t streams) {
    for (const bool pull : {true, false}) {
      if (quick_ && !pull) break;
      const Work plain = tcp_work(pair, kMoved, streams, "plain");
      add(plain, pull);
      if (!quick_) add(plain, pull, "contiguous");
      if (!quick_) add(tcp_work(pair, kMoved, streams, "checksum"), pull);
      if (streams == 1) add(tcp_work(pair, 1, 1, "plain"), pull);
    }
  }

  // Beside what we do inside TLS: how much of it the library leaves.
  void add_openssl() {
    for (const std::uint32_t streams : streams_) {
      if (quick_ && streams > 1) break;
      Work w = tcp_work(pairs_.front(), kMoved, streams, "tls");
      w.path = "openssl";
      add(std::move(w), true, "contiguous");
    }
  }

  void add_iperf3() {
    if (topology_.iperf3.empty()) {
      skip("iperf3", "it is not installed (Debian: apt install iperf3)");
      return;
    }
    for (const std::uint32_t streams : streams_) {
      if (quick_ && streams > 1) break;
      // Its client sends, from one buffer of its own.
      Work w = tcp_work(pairs_.front(), kMoved, streams, "plain");
      w.path = "iperf3";
      add(std::move(w), false, "contiguous");
    }
  }

  void add_ucx() {
    if (!topology_.no_ucx.empty()) {
      skip("ucx", topology_.no_ucx);
      return;
    }
    for (const DevicePair& pair : pairs_) {
      for (const bool pull : {true, false}) {
        if (quick_ && !pull) break;
        add(work(Group::ucx, pair, kMoved), pull);
        if (quick_ || !pair.sweeps) continue;
        add(work(Group::ucx, pair, kMoved), pull, "contiguous");
        add(work(Group::ucx, pair, 1), pull);
      }
    }
  }

  const Topology& topology_;
  bool quick_;
  Suite& suite_;
  std::vector<std::uint32_t> streams_;
  std::vector<DevicePair> pairs_;
};

}  // namespace

void add_network_works(const Topology& topology, bool quick, Suite& suite) {
  NetworkBuilder(topology, quick, suite).build();
}

}  // namespace kvferry::cli::bench
