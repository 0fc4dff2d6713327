#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/result.hpp"

// For tests only: a result as two H200 over NVLink would give, without having measured anything.
// Its times follow a simple model (a fixed cost, a rate, some noise from a fixed seed) whose
// constants are near those of docs/performance.md.
namespace kvferry::cli::bench {

class SampleResult {
 public:
  // `slower` scales every time of pulls over NVLink: 1.1 is 10 % slower, for tests of --compare.
  explicit SampleResult(double slower = 1, std::uint32_t seed = 7)
      : slower_(slower), random_(seed) {}

  Result make() {
    add_machine();
    for (const char* direction : {"pull", "push"}) {
      for (const char* order : {"scattered", "contiguous"}) {
        for (const Link& link : {kNvlink, kSameGpu, kHostGpu}) {
          if (link.name == kHostGpu.name && std::string_view(order) == "contiguous") continue;
          add_throughput(link, direction, order, "auto");
        }
      }
      add_throughput(kNvlink, direction, "scattered", "engine");
      add_blocks(kNvlink, direction);
      add_sms(kNvlink, direction);
    }
    add_blocks(kSameGpu, "pull");
    for (const Link& link : {kNvlink, kSameGpu}) add_latency(link);
    add_posting();
    add_clients();
    add_tcp();
    result_.skipped.push_back({"host pools over 2 MiB pages",
                               "no huge pages are reserved here "
                               "(/proc/sys/vm/nr_hugepages is 0)"});
    result_.skipped.push_back({"pcie_peer", "the two GPUs are joined by NVLink"});
    return result_;
  }

 private:
  struct Link {
    std::string_view name, from, to;
    double limit;     // GB/s of one contiguous copy of many bytes
    double share;     // of it that scattered blocks reach
    double fixed_us;  // of every transfer
  };
  static constexpr Link kNvlink{"nvlink", "cuda:1", "cuda:0", 394, 0.945, 11};
  static constexpr Link kSameGpu{"same_gpu", "cuda:0", "cuda:0", 1940, 0.91, 9};
  static constexpr Link kHostGpu{"host_gpu", "host", "cuda:0", 55, 0.93, 14};
  static constexpr Link kLoopback{"loopback", "host", "host", 5, 0.95, 300};

  static Work work(const Link& link, Group group, std::string direction, std::string order,
                   std::string copy) {
    Work work;
    work.group = group;
    work.path = "cuda_ipc";
    work.link = link.name;
    work.from = link.from;
    work.to = link.to;
    if (direction == "push") std::swap(work.from, work.to);
    work.direction = std::move(direction);
    work.order = std::move(order);
    work.copy = std::move(copy);
    work.block_bytes = 65'536;
    work.blocks = 64;
    work.layers = 40;
    return work;
  }

  std::vector<double> samples(double seconds, std::size_t count, double spread = 0.006) {
    std::lognormal_distribution<double> noise(0, spread);
    std::uniform_real_distribution<double> chance(0, 1);
    std::vector<double> values(count);
    for (double& value : values) {
      value = seconds * noise(random_) * (chance(random_) < 0.01 ? 1.6 : 1.0);
    }
    return values;
  }

  Figure& add(Work work, std::string method, const Link& link, double rate,
              std::size_t count = 61) {
    const auto bytes = static_cast<double>(work.bytes());
    const double slower = work.link == "nvlink" && work.direction == "pull" ? slower_ : 1;
    const auto ours = samples(slower * (bytes / (rate * 1e9) + link.fixed_us * 1e-6), count);
    const auto reference =
        samples(bytes / (link.limit * 1e9) + (link.fixed_us - 1) * 1e-6, count, 0.004);
    Figure figure;
    figure.work = std::move(work);
    figure.method = std::move(method);
    figure.ours = stats::summarize(ours);
    figure.gb_per_s = bytes / figure.ours.median / 1e9;
    figure.reference_name = "contiguous cudaMemcpyAsync";
    figure.reference = stats::summarize(reference);
    figure.of_reference = stats::paired_ratio(ours, reference);
    figure.verified = true;
    if (figure.work.small()) {
      auto sorted = ours;
      std::sort(sorted.begin(), sorted.end());
      for (int i = 0; i <= 100; ++i) {
        // Denser towards the tail, which is what a reader looks for.
        const double q = i < 90 ? i / 100.0 : 1 - std::pow(10.0, -1 - 3.0 * (i - 90) / 10);
        figure.cdf.emplace_back(q, stats::quantile(sorted, q));
      }
    }
    result_.figures.push_back(std::move(figure));
    return result_.figures.back();
  }

  void add_throughput(const Link& link, const char* direction, const char* order,
                      const char* copy) {
    const bool engine = std::string_view(copy) == "engine";
    const bool scattered = std::string_view(order) == "scattered";
    const double share = engine ? 0.67 : scattered ? link.share : 0.995;
    Figure& figure = add(work(link, Group::throughput, direction, order, copy),
                         engine       ? "copy engine 2D, 64 copies"
                         : !scattered ? "copy engine 2D, 1 copy"
                                      : "kernel tma, 24 SMs",
                         link, link.limit * share);
    if (engine) figure.note = "the copy engine starts anew at each of 64 strided copies";
  }

  void add_blocks(const Link& link, const char* direction) {
    for (std::uint64_t bytes = 512; bytes <= 4'194'304; bytes *= 2) {
      Work sized = work(link, Group::blocks, direction, "scattered", "auto");
      sized.block_bytes = bytes;
      sized.blocks = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, 4'194'304 / bytes));
      const double small = static_cast<double>(bytes) / (static_cast<double>(bytes) + 300);
      add(sized, bytes < 2048 ? "kernel plain, 132 SMs" : "kernel tma, 24 SMs", link,
          link.limit * link.share * small);
    }
    Work odd = work(link, Group::blocks, direction, "scattered", "auto");
    odd.block_bytes = 65'520;
    add(odd, "kernel tma, 24 SMs", link, link.limit * link.share * 0.98);
    for (const char* layout : {"kv_apart", "padded"}) {
      Work strided = work(link, Group::blocks, direction, "scattered", "auto");
      strided.layout = layout;
      add(strided, "kernel tma, 24 SMs", link, link.limit * link.share * 0.99);
    }
  }

  void add_sms(const Link& link, const char* direction) {
    for (const std::uint32_t sms : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 132U}) {
      Work budget = work(link, Group::sms, direction, "scattered", "kernel");
      budget.max_sms = sms;
      add(budget, "kernel tma, " + std::to_string(sms) + (sms == 1 ? " SM" : " SMs"), link,
          std::min(link.limit * link.share, 26.0 * sms));
    }
    Work zero = work(link, Group::sms, direction, "scattered", "engine");
    add(zero, "copy engine 2D, 64 copies", link, link.limit * 0.65);
  }

  void add_latency(const Link& link) {
    for (const std::uint32_t blocks : {1U, 4U, 16U}) {
      for (const char* direction : {"pull", "push"}) {
        Work small = work(link, Group::latency, direction, "scattered", "auto");
        small.blocks = blocks;
        add(small,
            "copy engine 2D, " + std::to_string(blocks) + (blocks == 1 ? " copy" : " copies"), link,
            link.limit * 0.95, 2'000);
      }
    }
  }

  void add_posting() {
    for (const std::uint32_t blocks : {64U, 1638U}) {
      for (const char* copy : {"auto", "prepared"}) {
        Work posted = work(kNvlink, Group::posting, "pull", "scattered", copy);
        posted.blocks = blocks;
        const double us = (copy[0] == 'p' ? 2.4 : 5.0) + blocks * (copy[0] == 'p' ? 0 : 0.011);
        Figure& figure = add(posted, "kernel tma, 24 SMs", kNvlink, 1, 2'000);
        const double scale = us * 1e-6 / figure.ours.median;
        figure.ours = scaled(figure.ours, scale);
        for (auto& [q, seconds] : figure.cdf) seconds *= scale;
        figure.gb_per_s = 0;
        figure.reference_name.clear();
        figure.reference.reset();
        figure.of_reference.reset();
        figure.note = "CPU time of the call; no copy to compare with";
      }
    }
  }

  static stats::Summary scaled(stats::Summary summary, double by) {
    for (double* value : {&summary.median, &summary.median_ci.low, &summary.median_ci.high,
                          &summary.min, &summary.max, &summary.p99, &summary.p999}) {
      *value *= by;
    }
    return summary;
  }

  void add_clients() {
    for (const char* direction : {"pull", "push"}) {
      for (const std::uint32_t clients : {1U, 2U, 8U, 64U}) {
        Work many = work(kNvlink, Group::clients, direction, "scattered", "auto");
        many.clients = clients;
        many.processes = std::min(clients, 8U);
        Figure& figure = add(many, "kernel tma, 24 SMs", kNvlink, kNvlink.limit * 0.93, 25);
        const double aggregate = figure.gb_per_s * (1 - 0.012 * std::log2(clients));
        figure.ours = scaled(figure.ours, clients * figure.gb_per_s / aggregate);
        figure.gb_per_s = aggregate;
        figure.reference_name = "1 client";
      }
    }
    Work apart = work(kNvlink, Group::clients, "pull", "scattered", "auto");
    apart.clients = apart.processes = 64;
    add(apart, "kernel tma, 24 SMs", kNvlink, kNvlink.limit * 0.7, 25).note =
        "64 processes share the GPU by time slices";
    Work gather = work(kNvlink, Group::clients, "pull", "scattered", "auto");
    gather.servers = gather.processes = 8;
    add(gather, "kernel tma, 24 SMs", kNvlink, kNvlink.limit * 0.92, 25);
    Work both = work(kNvlink, Group::clients, "both", "scattered", "auto");
    add(both, "kernel tma, 24 SMs", kNvlink, kNvlink.limit * 1.8, 25).note =
        "the reference goes in one direction";
  }

  void add_tcp() {
    for (const std::uint32_t streams : {1U, 2U, 8U}) {
      for (const char* wire : {"plain", "checksum", "tls"}) {
        Work moved = over_tcp(streams, wire);
        const double limit = moved.wire == "tls" ? 2.1 : kLoopback.limit;
        add(moved, "tcp, " + std::to_string(streams) + (streams == 1 ? " stream" : " streams"),
            {kLoopback.name, kLoopback.from, kLoopback.to, limit, 1, 300}, limit * 0.95, 31);
      }
    }
    Work small = over_tcp(1, "plain");
    small.blocks = 1;
    add(small, "tcp, 1 stream", kLoopback, kLoopback.limit, 2'000);
    Work others = over_tcp(1, "plain");
    others.path = "iperf3";
    add(others, "iperf 3.12", kLoopback, kLoopback.limit, 31).verified = false;
    others.path = "openssl";
    others.wire = "tls";
    add(others, "OpenSSL 3.0.19", kLoopback, 1.2, 31).verified = false;
  }

  static Work over_tcp(std::uint32_t streams, const char* wire) {
    Work moved = work(kLoopback, Group::tcp, "pull", "scattered", "auto");
    moved.path = "tcp";
    moved.streams = streams;
    moved.wire = wire;
    return moved;
  }

  void add_machine() {
    result_.version = "0.1.0";
    result_.build = "0.1.0, CUDA 13.0 (sm_80 sm_90 sm_100 PTX)";
    result_.commit = "0123456789ab";
    result_.command = "kvferry bench --html report.html --json report.json";
    result_.date = "2026-11-22T12:00:00Z";
    result_.seconds = 93.4;
    result_.machine = {.host = "sample",
                       .cpu = "Sample CPU 64-Core Processor",
                       .kernel = "Linux 6.1.0",
                       .driver = "580.82.07",
                       .cuda_runtime = "13.0",
                       .cores = 32,
                       .memory_bytes = std::uint64_t{256} << 30,
                       .gpus = {}};
    for (const char* device : {"cuda:0", "cuda:1"}) {
      const std::string last(1, device[5]);
      result_.machine.gpus.push_back({.device = device,
                                      .name = "NVIDIA H200",
                                      .uuid = "GPU-00000000-0000-0000-0000-00000000000" + last,
                                      .pci = "0000:0" + last + ":00.0",
                                      .sms = 132,
                                      .memory_bytes = std::uint64_t{139} << 30,
                                      .mps = false});
    }
  }

  double slower_;
  std::mt19937 random_;
  Result result_;
};

inline Result sample_result() { return SampleResult().make(); }

}  // namespace kvferry::cli::bench
