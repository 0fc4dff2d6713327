#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stats/stats.hpp"

// What a benchmark run found: the one model behind the table, --json, --csv, --html and --compare.
// Plain values.
namespace kvferry::cli::bench {

// What is being asked; one section of the table and of the page each.
enum class Group : std::uint8_t {
  throughput,  // 160 MiB, scattered and contiguous, pull and push, kernel and engine
  blocks,      // the same bytes in blocks of 512 B to 4 MiB, odd sizes, strided layouts
  sms,         // SM budgets, 1 to all, and zero
  latency,     // small transfers: p50, p99, p99.9
  posting,     // CPU time of the call that posts
  clients,     // many clients on one server, one client from many servers, both directions together
  tcp,         // path tcp over loopback: connections, TLS, checksums, small transfers
  ucx,         // path ucx, by whatever transports there are
};
std::string_view to_string(Group group) noexcept;

// The work of one figure. Enough of it that --compare can pair figures of two runs: see key().
struct Work {
  Group group = Group::throughput;
  std::string path;  // "cuda_ipc", "host_shm", "tcp", "ucx"; "iperf3": that program's own figure
  std::string link;  // "nvlink", "pcie_peer", "same_gpu", "host_gpu", "host", "loopback"
  std::string from,
      to;  // "cuda:1", "host"; the client's local pool is `to` of a pull, `from` of a push
  std::string direction;         // "pull", "push", "both"
  std::string order;             // "scattered", "contiguous"
  std::string copy;              // as asked: "auto", "kernel", "engine", "prepared"
  std::string layout = "joint";  // "joint", "kv_apart", "padded"
  std::uint64_t block_bytes = 0;
  std::uint32_t blocks = 0, layers = 0;
  std::uint32_t max_sms = 0;  // 0: no budget
  std::uint32_t clients = 1, servers = 1, processes = 1;
  // Of path tcp: connections at once (0: another path), and how bytes travel on them.
  std::uint32_t streams = 0;
  std::string wire{};  // "plain", "tls", "checksum"; "": another path
  std::uint64_t bytes() const noexcept { return block_bytes * blocks * layers; }
  // "throughput/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40": stable from run to run.
  std::string key() const;
  // What counts is the time, in its quantiles, rather than the rate.
  bool small() const noexcept;
};

// Times in seconds, one transfer or one call each. With several clients: `rate` is the aggregate
// instead.
struct Figure {
  Work work;
  std::string method;  // as reported: "kernel tma, 24 SMs"
  stats::Summary ours;
  double gb_per_s = 0;  // bytes() / ours.median; clients: the aggregate rate
  // The same-run reference: "contiguous cudaMemcpyAsync", "memcpy, 2 threads", "1 client". Absent:
  // there is none for this work, and `note` says why.
  std::string reference_name;
  std::optional<stats::Summary> reference;
  std::optional<stats::Ratio> of_reference;  // 1: as fast as the reference
  bool verified = false;                     // bytes compared on both sides, once, before timing
  // Quantiles of `ours` for the CDF of the page: (q, seconds), ascending; of small works only.
  std::vector<std::pair<double, double>> cdf;
  std::string note;
};

struct Skipped {
  std::string what, why;
};

struct Machine {
  std::string host, cpu, kernel, driver, cuda_runtime;
  unsigned cores = 0;
  std::uint64_t memory_bytes = 0;
  struct Gpu {
    std::string device, name, uuid, pci;
    std::uint32_t sms = 0;
    std::uint64_t memory_bytes = 0;
    bool mps = false;  // processes share it by NVIDIA's multi-process service
  };
  std::vector<Gpu> gpus;
};

struct Result {
  std::string version, build, commit, command, date;  // date: UTC, ISO 8601
  bool quick = false;
  bool interrupted = false;  // ended by Ctrl-C: the figures are those measured until then
  double seconds = 0;
  Machine machine;
  std::vector<Figure> figures;
  std::vector<Skipped> skipped;
};

}  // namespace kvferry::cli::bench
