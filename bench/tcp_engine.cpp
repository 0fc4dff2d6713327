// path/tcp without nodes: two links in one process over loopback, and in turn, in the same run,
// threads that send and receive one contiguous buffer of as many bytes with plain calls over as
// many connections with the same congestion control. The ratios are paired: a busy machine slows
// both.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "bench/plain_sockets.hpp"
#include "path/tcp/test_links.hpp"
#include "stats/stats.hpp"

namespace {

using namespace kvferry;
using Clock = std::chrono::steady_clock;

struct Options {
  std::uint32_t blocks = 64;
  unsigned streams = 1, threads = 0;
  int rounds = 15;
  std::string from = "host", to = "host", congestion;
  bool push = false, contiguous = false, checksum = false;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Device device_of(const std::string& name) {
  return name == "host" ? Device::host() : Device::cuda(std::stoi(name.substr(5)));
}

std::vector<std::uint32_t> ids(std::uint32_t pool, std::uint32_t count, unsigned seed,
                               bool contiguous) {
  std::vector<std::uint32_t> list(pool);
  std::iota(list.begin(), list.end(), 0u);
  if (!contiguous) std::shuffle(list.begin(), list.end(), std::mt19937(seed));
  list.resize(count);
  return list;
}

void run(const Options& o) {
  const CacheShape shape{.layers = 40, .kv = 2, .kv_heads = 8, .head_dim = 128};
  const std::uint32_t pool_blocks = std::max(2 * o.blocks, 2u);
  const Pool there = Pool::allocate(device_of(o.from), shape, pool_blocks, {.writable = true});
  const Pool here = Pool::allocate(device_of(o.to), shape, pool_blocks, {.writable = true});
  // The requester's pool is the target of a pull and the source of a push.
  const Pool& local = o.push ? there : here;
  const Pool& remote = o.push ? here : there;
  path::tcp::test::Links links{remote.state(), o.threads != 0 ? o.threads : 2 * o.streams};
  path::tcp::TcpRoute route{local.state(), links.remote()};
  const auto from = ids(pool_blocks, o.blocks, 1, o.contiguous);
  const auto to = ids(pool_blocks, o.blocks, 2, o.contiguous);
  path::JobOptions options;
  options.direction = o.push ? Direction::push : Direction::pull;
  options.streams = o.streams;
  options.checksum = o.checksum;
  const double bytes = double(o.blocks) * shape.layers * double(shape.block_bytes());
  cli::bench::PlainSockets plain(o.streams, o.congestion);
  std::vector<double> ours, theirs;
  std::string method;
  for (int i = 0; i < o.rounds + 2; ++i) {
    const double p = plain.copy(static_cast<std::uint64_t>(bytes));
    const auto begin = Clock::now();
    const auto& source = o.push ? route.local() : route.remote();
    const auto& target = o.push ? route.remote() : route.local();
    auto plan = plan::make_plan(source, target, from, to, {});
    const auto job = route.start(plan, options, nullptr);
    job->wait_until(Clock::now() + std::chrono::seconds(60));
    const double s = seconds_since(begin);
    const auto result = job->poll();
    if (!result || !result->moved_all)
      throw std::runtime_error(result ? result->error : "it took more than a minute");
    method = job->method();
    if (i < 2) continue;  // connections, page tables, congestion windows
    ours.push_back(s);
    theirs.push_back(p);
  }
  const auto ratio = stats::paired_ratio(ours, theirs);
  const auto us = stats::summarize(ours), plain_us = stats::summarize(theirs);
  fmt::print(
      "{} {} {} -> {}, {} blocks of 64 KiB x 40 layers, {}: {:.2f} GB/s, p50 {:.0f} us, "
      "p99 {:.0f} us; plain {:.2f} GB/s; ratio {:.3f} [{:.3f}, {:.3f}]\n",
      o.push ? "push" : "pull", o.contiguous ? "contiguous" : "scattered", o.from, o.to, o.blocks,
      method, bytes / us.median / 1e9, us.median * 1e6, us.p99 * 1e6, bytes / plain_us.median / 1e9,
      ratio.median, ratio.ci.low, ratio.ci.high);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{"path tcp against plain sockets, over loopback in one process"};
  app.add_option("--blocks", o.blocks, "of 64 KiB in each of 40 layers (64: 160 MiB)");
  app.add_option("--streams", o.streams);
  app.add_option("--threads", o.threads, "network threads; 0: two for each stream");
  app.add_option("--rounds", o.rounds);
  app.add_option("--from", o.from, "host or cuda:N");
  app.add_option("--to", o.to, "host or cuda:N");
  app.add_option("--congestion", o.congestion,
                 "of the plain sockets; ours take what suits loopback");
  app.add_flag("--push", o.push);
  app.add_flag("--contiguous", o.contiguous);
  app.add_flag("--checksum", o.checksum);
  CLI11_PARSE(app, argc, argv);
  try {
    run(o);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
