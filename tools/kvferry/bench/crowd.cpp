#include "bench/crowd.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>

#include "bench/child_process.hpp"
#include "bench/figure.hpp"
#include "bench/runner.hpp"
#include "bench/suite.hpp"
#include "bench/worker_spec.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

// 64 processes that all begin to use a GPU, or fill their pools on two cores, take their time.
constexpr auto kPatience = std::chrono::seconds(180);
// From the word to the start of a round: for all of them to have read it.
constexpr std::int64_t kLeadNs = 30'000'000;

// The processes, in the order of their clients' numbers.
class Crowd {
 public:
  Crowd(const CrowdSpec& spec) : interrupts_(spec.interrupts) {
    const Work& work = spec.work;
    for (std::uint32_t p = 0; p < work.processes; ++p) {
      workers_.push_back(ChildProcess::start({"bench", "--worker"}, true));
      workers_.back().write(to_line(worker_spec(spec, p)));
    }
    for (const WorkerAnswer& ready : answers()) method_ = ready.method;
  }
  ~Crowd() {
    for (ChildProcess& worker : workers_) worker.ask_to_end();
    for (ChildProcess& worker : workers_) worker.wait_end(std::chrono::seconds(10));
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  const std::string& method() const noexcept { return method_; }

  // The rate of the active clients together, in bytes a second.
  double run(std::uint32_t active, std::uint32_t servers, double seconds) {
    const auto now = Clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
    const Round round{active, servers, now + kLeadNs, seconds};
    for (const ChildProcess& worker : workers_) worker.write(to_line(round));
    std::uint64_t bytes = 0;
    std::int64_t end = 0;
    for (const WorkerAnswer& share : answers()) {
      bytes += share.bytes;
      end = std::max(end, share.end_ns);
    }
    // Until the last of them was done: whoever still moves near the end moves less crowded, so
    // this is at most the rate while all were busy.
    return static_cast<double>(bytes) / (1e-9 * static_cast<double>(end - round.start_ns));
  }

 private:
  static WorkerSpec worker_spec(const CrowdSpec& spec, std::uint32_t process) {
    const Work& work = spec.work;
    WorkerSpec worker;
    worker.device = client_device(work);
    worker.addresses = spec.addresses;
    worker.shape = shape_for(work.block_bytes, work.layers);
    worker.server_blocks = spec.server_blocks;
    worker.pool_blocks = client_pool_blocks(work);
    worker.moved = work.blocks;
    worker.first = work.clients * process / work.processes;
    worker.clients = work.clients * (process + 1) / work.processes - worker.first;
    worker.end = spec.server_blocks;
    if (work.direction == "both") {
      // Nobody may read what another writes: each has its half of the server's pool.
      const std::uint32_t half = spec.server_blocks / 2;
      const bool pushes = process % 2 == 1;
      worker.direction = pushes ? Direction::push : Direction::pull;
      (pushes ? worker.begin : worker.end) = half;
    }
    return worker;
  }

  std::vector<WorkerAnswer> answers() {
    std::vector<WorkerAnswer> all;
    for (ChildProcess& worker : workers_) all.push_back(answer_of(worker));
    return all;
  }

  WorkerAnswer answer_of(ChildProcess& worker) {
    const auto until = Clock::now() + kPatience;
    while (true) {
      for (const std::string& line : worker.new_lines()) {
        if (!line.starts_with('{')) continue;  // a warning of the log
        WorkerAnswer answer = parse_answer(line);
        if (answer.error.empty()) return answer;
        throw Error(static_cast<ErrorCode>(answer.code), answer.error);
      }
      if (worker.poll_exit() || Clock::now() > until) {
        throw Error(ErrorCode::resource,
                    fmt::format("a client process gave no answer: {}", worker.output()));
      }
      interrupts_.throw_if_requested();
      pollfd interrupt{interrupts_.fd(), POLLIN, 0};
      ::poll(&interrupt, 1, 2);
    }
  }

  const Interrupts& interrupts_;
  std::vector<ChildProcess> workers_;
  std::string method_;
};

}  // namespace

Figure measure_crowd(const CrowdSpec& spec, const RunSettings& settings,
                     const std::function<bool()>& stop) {
  const Work& work = spec.work;
  Crowd crowd(spec);
  FigureBuilder figure(work);
  TransferReport report;
  report.path = work.path;
  report.method = crowd.method();
  figure.verified(report);
  // As long as a few transfers of each, also where 64 share a slow memory.
  const double seconds = settings.quick ? 0.25 : 0.5;
  const auto bytes = static_cast<double>(work.bytes());
  std::vector<Measure> measures{
      [&] { return bytes / crowd.run(work.clients, work.servers, seconds); }};
  if (work.clients > 1 || work.servers > 1) {
    figure.add_way(work.servers > 1 ? "1 client from 1 server" : "1 client alone");
    measures.push_back([&] { return bytes / crowd.run(1, 1, seconds); });
  } else {
    figure.note("what the rates of many clients are held against");
  }
  if (spec.takes_turns && work.processes > 1)
    figure.note("processes take turns on a GPU; under MPS they do not: see docs/performance.md");
  Pace pace;
  pace.warmups = 1;
  pace.least = settings.quick ? 3 : 7;
  pace.wanted = pace.least;
  return figure.finish(sample(pace, measures, stop));
}

}  // namespace kvferry::cli::bench
