#include "bench/worker.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/session.hpp"
#include "bench/worker_spec.hpp"
#include "ids.hpp"
#include "kvferry/error.hpp"
#include "pattern/pattern.hpp"

namespace kvferry::cli::bench {
namespace {

using pattern::BlockSpec;
using pattern::Fill;

std::int64_t now_ns() {
  // CLOCK_MONOTONIC with this library: the same for all processes.
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

// The lines of standard input; nullopt at its end or when a signal came.
class Input {
 public:
  explicit Input(const Interrupts& interrupts) : interrupts_(interrupts) {}

  std::optional<std::string> line() {
    while (true) {
      if (const std::size_t end = text_.find('\n'); end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0 && errno != EINTR) return std::nullopt;
      if (fds[1].revents != 0) return std::nullopt;
      char buffer[4096];
      const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (got <= 0) return std::nullopt;
      text_.append(buffer, static_cast<std::size_t>(got));
    }
  }

 private:
  const Interrupts& interrupts_;
  std::string text_;
};

void answer(const WorkerAnswer& what) {
  const std::string line = to_line(what);
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

// One client: a pool, a node, and a connection to each server.
class Client {
 public:
  Client(const WorkerSpec& spec, std::uint32_t number)
      : spec_(spec),
        number_(number),
        pool_(Pool::allocate(device_from(spec.device), spec.shape, spec.pool_blocks)),
        remote_(scattered_ids(number + 10, spec.end - spec.begin, spec.moved)),
        local_(scattered_ids(number + 1000, spec.pool_blocks, spec.moved)) {
    for (std::uint32_t& id : remote_) id += spec.begin;
    node_.add(pool_);
    for (const std::string& address : spec.addresses) {
      peers_.push_back(node_.connect(address, std::chrono::seconds(60)));
    }
  }

  std::uint32_t number() const noexcept { return number_; }

  // One transfer: equal parts from so many servers, all at once. Returns how it copied.
  std::string move(Direction direction, std::uint32_t servers) const {
    const std::size_t parts = std::min<std::size_t>(servers, peers_.size());
    std::vector<Transfer> running;
    for (std::size_t i = 0; i < parts; ++i) {
      const std::size_t begin = remote_.size() * i / parts;
      const std::size_t count = remote_.size() * (i + 1) / parts - begin;
      const auto remote = std::span(remote_).subspan(begin, count);
      const auto local = std::span(local_).subspan(begin, count);
      running.push_back(direction == Direction::pull ? peers_[i].pull(pool_, remote, local)
                                                     : peers_[i].push(pool_, remote, local));
    }
    std::string method;
    for (const Transfer& transfer : running) method = transfer.wait().method;
    return method;
  }

  // Every byte of the pool after a pull; a push first sends what it then pulls. Returns how it
  // copied.
  std::string verify() const {
    if (spec_.direction == Direction::pull) return pull_and_check(Fill::indexed, 0, true);
    // The server's blocks hold other bytes from now on: these.
    std::vector<BlockSpec> sent;
    for (std::size_t i = 0; i < local_.size(); ++i) {
      sent.push_back({local_[i], remote_[i], Fill::indexed, kSent});
    }
    pattern::fill(pool_, sent, {}, 1);
    std::string method = move(Direction::push, 1);
    pull_and_check(Fill::indexed, kSent, false);
    pattern::fill(pool_, sent, {}, 1);
    return method;
  }

 private:
  static constexpr std::uint64_t kSent = 77, kBefore = 78;

  std::string pull_and_check(Fill fill, std::uint64_t seed, bool all_servers) const {
    std::vector<BlockSpec> before(pool_.blocks());
    for (std::uint32_t id = 0; id < pool_.blocks(); ++id)
      before[id] = {id, id, Fill::indexed, kBefore};
    pattern::fill(pool_, before, {}, 1);
    for (std::size_t i = 0; i < local_.size(); ++i) {
      before[local_[i]] = {local_[i], remote_[i], fill, seed};
    }
    std::string method = move(Direction::pull, all_servers ? UINT32_MAX : 1);
    const pattern::Mismatch wrong = pattern::check(pool_, before, {}, 1);
    if (wrong.bytes == 0) return method;
    throw Error(ErrorCode::failed,
                fmt::format("client {}: {} wrong bytes; the first at layer {}, block {}, offset {}",
                            number_, wrong.bytes, wrong.layer, wrong.block, wrong.offset));
  }

  const WorkerSpec& spec_;
  std::uint32_t number_;
  Pool pool_;
  std::vector<std::uint32_t> remote_, local_;
  Node node_;
  std::vector<Peer> peers_;
};

// What one client does in a round.
struct Share {
  std::uint64_t bytes = 0;
  std::int64_t end_ns = 0;
  std::exception_ptr error{};
};

Share run_client(const Client& client, const WorkerSpec& spec, const Round& round) noexcept {
  Share share;
  try {
    const std::uint64_t bytes = spec.shape.block_bytes() * spec.shape.layers * spec.moved;
    const auto end = round.start_ns + static_cast<std::int64_t>(round.seconds * 1e9);
    std::this_thread::sleep_for(std::chrono::nanoseconds(round.start_ns - now_ns()));
    share.end_ns = round.start_ns;
    while (now_ns() < end) {
      client.move(spec.direction, round.servers);
      share.bytes += bytes;
      share.end_ns = now_ns();
    }
  } catch (...) {
    share.error = std::current_exception();
  }
  return share;
}

WorkerAnswer run_round(const std::vector<std::unique_ptr<Client>>& clients, const WorkerSpec& spec,
                       const Round& round) {
  std::vector<Share> shares(clients.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      if (clients[i]->number() >= round.active) continue;
      threads.emplace_back([&, i] { shares[i] = run_client(*clients[i], spec, round); });
    }
  }
  WorkerAnswer sum;
  for (const Share& share : shares) {
    if (share.error) std::rethrow_exception(share.error);
    sum.bytes += share.bytes;
    sum.end_ns = std::max(sum.end_ns, share.end_ns);
  }
  return sum;
}

void serve_rounds(Input& input) {
  const auto line = input.line();
  if (!line) return;
  const WorkerSpec spec = parse_worker_spec(*line);
  std::vector<std::unique_ptr<Client>> clients;
  WorkerAnswer ready;
  for (std::uint32_t i = 0; i < spec.clients; ++i) {
    clients.push_back(std::make_unique<Client>(spec, spec.first + i));
    ready.method = clients.back()->verify();
  }
  answer(ready);
  while (const auto round = input.line()) answer(run_round(clients, spec, parse_round(*round)));
}

}  // namespace

int run_worker(const ToolContext& context) {
  try {
    Input input(context.interrupts);
    serve_rounds(input);
    return 0;
  } catch (const Error& error) {
    WorkerAnswer failed;
    failed.error = error.what();
    failed.code = static_cast<int>(error.code());
    answer(failed);
    return static_cast<int>(error.code());
  }
}

}  // namespace kvferry::cli::bench
