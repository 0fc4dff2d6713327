// path/tcp without nodes: two links in one process over loopback, against threads that send and
// receive one contiguous buffer with plain calls. For the engine's own choices: chunk sizes, pieces
// a call, turns. `bench_tcp_engine [MiB] [streams] [rounds] [congestion]`
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "path/tcp/test_links.hpp"

namespace {

using namespace kvferry;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Contiguous, blocking, a thread each side and stream.
class Plain {
 public:
  Plain(std::size_t bytes, unsigned streams, const std::string& congestion)
      : from_(bytes, std::byte{1}), to_(bytes), streams_(streams) {
    for (unsigned i = 0; i < streams; ++i) {
      auto [a, b] = path::tcp::test::loopback_pair();
      path::tcp::tune_socket(a.get(), congestion);
      path::tcp::tune_socket(b.get(), congestion);
      sockets_.push_back({std::move(a), std::move(b)});
    }
  }
  double run() {
    const auto begin = Clock::now();
    const std::size_t each = from_.size() / streams_;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < streams_; ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t at = 0; at < each;)
          at += static_cast<std::size_t>(::send(sockets_[i].second.get(), &from_[i * each + at],
                                                std::min<std::size_t>(each - at, 1 << 20), 0));
      });
      threads.emplace_back([&, i] {
        for (std::size_t at = 0; at < each;)
          at += static_cast<std::size_t>(::recv(sockets_[i].first.get(), &to_[i * each + at],
                                                std::min<std::size_t>(each - at, 1 << 20), 0));
      });
    }
    for (auto& thread : threads) thread.join();
    return seconds_since(begin);
  }

 private:
  std::vector<std::byte> from_, to_;
  unsigned streams_;
  std::vector<std::pair<UniqueFd, UniqueFd>> sockets_;
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t mib = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 160;
  const auto streams = static_cast<unsigned>(argc > 2 ? std::atoi(argv[2]) : 1);
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 11;
  const bool checksum = argc > 4 && std::string(argv[4]) == "crc";
  const CacheShape shape{.layers = 40, .kv = 2, .kv_heads = 8, .head_dim = 128};
  const auto blocks =
      std::max<std::uint32_t>(static_cast<std::uint32_t>((mib << 20) / (40 * 65536) * 2), 2);
  const Pool local = Pool::allocate(Device::host(), shape, blocks, {.writable = true});
  const Pool remote = Pool::allocate(Device::host(), shape, blocks, {.writable = true});
  path::tcp::test::Links links{remote.state(), 2};
  path::tcp::TcpRoute route{local.state(), links.remote()};
  std::vector<std::uint32_t> from(blocks), to(blocks);
  std::iota(from.begin(), from.end(), 0u);
  to = from;
  std::shuffle(from.begin(), from.end(), std::mt19937(1));
  std::shuffle(to.begin(), to.end(), std::mt19937(2));
  from.resize(std::max(blocks / 2, 1u));
  to.resize(from.size());
  path::JobOptions options;
  options.streams = streams;
  options.checksum = checksum;
  Plain plain(from.size() * 40 * 65536, streams, "");
  std::vector<double> ours, theirs, ratios;
  std::string method;
  for (int i = 0; i < rounds + 2; ++i) {
    const double p = plain.run();
    const auto begin = Clock::now();
    auto plan = plan::make_plan(route.remote(), route.local(), from, to, {});
    const auto job = route.start(plan, options, nullptr);
    job->wait_until(Clock::now() + std::chrono::seconds(60));
    const double s = seconds_since(begin);
    if (!job->poll() || !job->poll()->moved_all) return std::puts("it failed"), 1;
    method = job->method();
    if (i < 2) continue;
    ours.push_back(s);
    theirs.push_back(p);
    ratios.push_back(p / s);
  }
  const double bytes = static_cast<double>(from.size()) * 40 * 65536;
  fmt::print("{} blocks, {}: ours {:.2f} GB/s ({:.0f} us), plain {:.2f} GB/s, ratio {:.3f}\n",
             from.size(), method, bytes / median(ours) / 1e9, median(ours) * 1e6,
             bytes / median(theirs) / 1e9, median(ratios));
}
