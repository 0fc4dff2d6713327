// How one server shares its network among many clients over path tcp: the sum of what they get, the
// slowest beside the mean, and what they cost the server. Every client is a process of its own.
//
//   bench_tcp_clients --clients 1,2,4,8,16,32,64 --seconds 3
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "kvferry/kvferry.hpp"

namespace kvferry {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<unsigned> clients{1, 2, 4, 8, 16, 32, 64};
  double seconds = 3;
  unsigned rounds = 3;
  std::uint32_t blocks = 8;
  unsigned streams = 1;
  bool push = false;
};

const CacheShape kShape{.layers = 40, .kv = 2, .kv_heads = 8, .head_dim = 128};

constexpr int kPatienceMs = 120'000;

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe failed");
    read = UniqueFd(ends[0]);
    write = UniqueFd(ends[1]);
  }
};

template <typename T>
void put(const UniqueFd& to, const T& value) {
  if (::write(to.get(), &value, sizeof value) != sizeof value)
    throw std::runtime_error("a process of the benchmark is gone");
}
template <typename T>
T get(const UniqueFd& from) {
  T value{};
  // A pipe of a dead process ends only with its siblings, which have inherited it.
  pollfd wait{from.get(), POLLIN, 0};
  if (::poll(&wait, 1, kPatienceMs) != 1)
    throw std::runtime_error("a process of the benchmark says nothing");
  if (::read(from.get(), &value, sizeof value) != sizeof value)
    throw std::runtime_error("a process of the benchmark is gone");
  return value;
}

// A process of its own: what it is to do it gets by `down`, what it found it says by `up`.
struct Child {
  pid_t pid = -1;
  Pipe down, up;

  template <typename F>
  explicit Child(F body) {
    std::fflush(stdout);
    pid = ::fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid > 0) {
      down.read = UniqueFd();
      up.write = UniqueFd();
      return;
    }
    down.write = UniqueFd();
    up.read = UniqueFd();
    try {
      body(down.read, up.write);
      ::_exit(0);
    } catch (const std::exception& error) {
      fmt::print(stderr, "bench_tcp_clients: {}\n", error.what());
      ::_exit(1);
    }
  }
  ~Child() {
    down.write = UniqueFd();
    ::waitpid(pid, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
};

struct Usage {
  double resident_mib = 0;
  unsigned descriptors = 0, threads = 0;
};

Usage usage_of(pid_t pid) {
  Usage usage;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) usage.resident_mib = std::stod(line.substr(6)) / 1024;
  const auto count = [&](const char* what) {
    const std::filesystem::directory_iterator all(fmt::format("/proc/{}/{}", pid, what));
    return static_cast<unsigned>(std::distance(begin(all), end(all)));
  };
  usage.descriptors = count("fd");
  usage.threads = count("task");
  return usage;
}

void serve(const Options& o, const std::string& socket, const UniqueFd& down, const UniqueFd& up) {
  const Pool pool = Pool::allocate(Device::host(), kShape, o.blocks, {.writable = true});
  for (std::uint32_t layer = 0; layer < kShape.layers; ++layer)
    std::fill_n(static_cast<std::byte*>(pool.layer(layer)), o.blocks * kShape.block_bytes(),
                std::byte{1});
  Node node{NodeOptions{}};
  node.add(pool);
  ListenOptions listen;
  listen.port = 0;
  listen.socket_path = socket;
  node.listen(listen);
  put(up, node.port());
  char nothing = 0;
  (void)!::read(down.get(), &nothing, 1);  // until the parent is done
}

struct Got {
  double bytes = 0, seconds = 0, slowest_s = 0;
  double rate() const { return seconds > 0 ? bytes / seconds : 0; }
};

void be_client(const Options& o, std::uint16_t port, const UniqueFd& down, const UniqueFd& up) {
  const Pool pool = Pool::allocate(Device::host(), kShape, o.blocks);
  Node node{NodeOptions{}};
  node.add(pool);
  const Peer peer = node.connect(fmt::format("127.0.0.1:{}", port));
  std::vector<std::uint32_t> there(o.blocks), here(o.blocks);
  std::iota(there.begin(), there.end(), 0u);
  // No two neighbours on both sides: as in a cache that has been in use.
  for (std::uint32_t i = 0; i < o.blocks; ++i) here[i] = o.blocks - 1 - i;
  TransferOptions options;
  options.path = "tcp";
  options.streams = o.streams;
  const auto move = [&] {
    Transfer transfer =
        o.push ? peer.push(pool, here, there, options) : peer.pull(pool, there, here, options);
    transfer.wait();
    return static_cast<double>(transfer.report().bytes);
  };
  move();
  put(up, char{});
  const auto begin = get<Clock::time_point>(down);
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(o.seconds));
  std::this_thread::sleep_until(begin);
  Got got;
  auto last = begin;
  do {
    got.bytes += move();
    const auto now = Clock::now();
    got.slowest_s = std::max(got.slowest_s, std::chrono::duration<double>(now - last).count());
    last = now;
  } while (last < end);
  got.seconds = std::chrono::duration<double>(last - begin).count();
  put(up, got);
}

struct Figures {
  double sum = 0, slowest_of_mean = 0, longest_s = 0;
  Usage during;
};

Figures measure(const Options& o, std::uint16_t port, pid_t server, unsigned clients) {
  std::vector<std::unique_ptr<Child>> children;
  for (unsigned i = 0; i < clients; ++i)
    children.push_back(std::make_unique<Child>(
        [&](const UniqueFd& down, const UniqueFd& up) { be_client(o, port, down, up); }));
  for (const auto& child : children) get<char>(child->up.read);
  const auto begin = Clock::now() + std::chrono::milliseconds(50);
  for (const auto& child : children) put(child->down.write, begin);
  std::this_thread::sleep_until(begin + std::chrono::duration<double>(o.seconds / 2));
  Figures figures;
  figures.during = usage_of(server);
  double slowest = 0;
  for (const auto& child : children) {
    const Got got = get<Got>(child->up.read);
    figures.sum += got.rate();
    slowest = slowest == 0 ? got.rate() : std::min(slowest, got.rate());
    figures.longest_s = std::max(figures.longest_s, got.slowest_s);
  }
  figures.slowest_of_mean = slowest * clients / figures.sum;
  return figures;
}

// The round whose sum is the median.
Figures median_of(std::vector<Figures> rounds) {
  const auto middle = rounds.begin() + static_cast<std::ptrdiff_t>(rounds.size() / 2);
  std::nth_element(rounds.begin(), middle, rounds.end(),
                   [](const Figures& a, const Figures& b) { return a.sum < b.sum; });
  return *middle;
}

void run(const Options& o) {
  const std::string directory = fmt::format("/tmp/kvferry-clients-{}", ::getpid());
  std::filesystem::create_directory(directory);
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
  Child server(
      [&](const UniqueFd& down, const UniqueFd& up) { serve(o, directory + "/s", down, up); });
  const auto port = get<std::uint16_t>(server.up.read);
  const Usage before = usage_of(server.pid);
  // Counts take turns, so that a busy moment of the machine does not fall on one of them alone.
  std::map<unsigned, std::vector<Figures>> rounds;
  for (unsigned round = 0; round < o.rounds; ++round)
    for (const unsigned clients : o.clients)
      rounds[clients].push_back(measure(o, port, server.pid, clients));
  std::filesystem::remove_all(directory);
  double best = 0;
  for (const auto& [clients, all] : rounds) best = std::max(best, median_of(all).sum);
  fmt::print("{} of {:.1f} MiB over tcp, {} a client; medians of {} rounds of {:g} s\n",
             o.push ? "pushes" : "pulls",
             double(o.blocks) * kShape.layers * double(kShape.block_bytes()) / (1 << 20),
             o.streams == 1 ? "1 stream" : fmt::format("{} streams", o.streams), o.rounds,
             o.seconds);
  fmt::print("the server before: {:.0f} MiB resident, {} descriptors, {} threads\n\n",
             before.resident_mib, before.descriptors, before.threads);
  fmt::print("clients   GB/s  of the best  slowest/mean  longest ms  RSS MiB  fds  threads\n");
  for (const auto& [clients, all] : rounds) {
    const Figures f = median_of(all);
    double slowest = 1;
    for (const Figures& each : all) slowest = std::min(slowest, each.slowest_of_mean);
    fmt::print("{:7}  {:5.2f}  {:10.0f}%  {:11.0f}%  {:10.0f}  {:+7.1f}  {:3}  {:7}\n", clients,
               f.sum / 1e9, 100 * f.sum / best, 100 * slowest, 1e3 * f.longest_s,
               f.during.resident_mib - before.resident_mib, f.during.descriptors, f.during.threads);
  }
  fmt::print("\nslowest/mean is that of the worst round; RSS is what the server has grown by\n");
}

}  // namespace
}  // namespace kvferry

int main(int argc, char** argv) {
  kvferry::Options o;
  CLI::App app{"How one server shares its network among many clients over path tcp."};
  app.add_option("--clients", o.clients, "how many at once, one figure for each")->delimiter(',');
  app.add_option("--seconds", o.seconds, "of each figure")->check(CLI::Range(0.1, 60.0));
  app.add_option("--rounds", o.rounds, "of all figures")->check(CLI::Range(1, 100));
  app.add_option("--blocks", o.blocks, "of 2.5 MiB in a transfer")->check(CLI::Range(1, 4096));
  app.add_option("--streams", o.streams, "of each client")->check(CLI::Range(1, 256));
  app.add_flag("--push", o.push, "clients push");
  CLI11_PARSE(app, argc, argv);
  try {
    kvferry::run(o);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_tcp_clients: {}\n", error.what());
    return 1;
  }
}
