#include "bench/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "bench/bare_launch.hpp"
#include "bench/crowd.hpp"
#include "bench/figure.hpp"
#include "bench/plain_sockets.hpp"
#include "bench/suite.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

double seconds_since(Clock::time_point start) { return Seconds(Clock::now() - start).count(); }

double thread_cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

bool over_network(const Work& work) noexcept {
  return work.group == Group::tcp || work.group == Group::ucx;
}

TransferOptions transfer_options(const Work& work) {
  TransferOptions options;
  options.layers = {0, work.layers};
  options.copy = work.copy == "kernel"   ? CopyMethod::kernel
                 : work.copy == "engine" ? CopyMethod::engine
                                         : CopyMethod::automatic;
  options.max_sms = work.max_sms;
  if (over_network(work)) options.path = work.path;
  options.streams = work.streams;
  options.checksum = work.wire == "checksum";
  return options;
}

Direction direction_of(const Work& work) {
  return work.direction == "push" ? Direction::push : Direction::pull;
}

// Of the shared ones: groups of clients have servers of their own.
bool needs_server(const Work& work) noexcept {
  return work.group != Group::clients && work.path != "iperf3" && work.path != "openssl";
}

// What ends the benchmark, and what only costs it a figure.
bool ends_all(ErrorCode code) {
  return code == ErrorCode::failed || code == ErrorCode::unreachable;
}

std::string time_left(double seconds) {
  const auto whole = static_cast<int>(seconds + 0.5);
  return whole < 90 ? fmt::format("{} s left", whole)
                    : fmt::format("{} min left", (whole + 30) / 60);
}

}  // namespace

Runner::Runner(const ToolContext& context, const Topology& topology, const RunSettings& settings)
    : context_(context),
      topology_(topology),
      settings_(settings),
      began_(Clock::now()),
      servers_(context.interrupts),
      references_(topology_, settings_, context.interrupts) {}

Runner::~Runner() = default;

bool Runner::stop() const {
  return context_.interrupts.requested() || (settings_.end && Clock::now() > *settings_.end);
}

ServerSpec Runner::server_spec(const Work& work, std::uint32_t instance) const {
  ServerSpec spec{server_device(work), shape_for(work.block_bytes, kPoolLayers),
                  pool_blocks(work, topology_, settings_.quick), instance};
  spec.tls = work.wire == "tls";
  if (work.group == Group::tcp) spec.congestion = settings_.congestion;
  if (work.group == Group::ucx) spec.ucx_transports = settings_.ucx_transports;
  return spec;
}

// The servers of the next works, as many as may run beside one another: starting them together
// takes no longer than starting one.
std::vector<ServerSpec> Runner::servers_ahead(const std::vector<Work>& works,
                                              std::size_t from) const {
  const std::size_t most = std::clamp<std::size_t>(topology_.cores, 2, 12);
  std::vector<ServerSpec> specs;
  std::uint64_t host_bytes = 0, gpu_bytes = 0;
  for (std::size_t i = from; i < works.size() && specs.size() < most; ++i) {
    if (!needs_server(works[i])) break;
    ServerSpec spec = server_spec(works[i]);
    if (std::ranges::any_of(specs, [&](const auto& s) { return s.key() == spec.key(); })) continue;
    (spec.device == "host" ? host_bytes : gpu_bytes) += spec.bytes();
    const std::uint64_t gpu_room = topology_.gpus.empty() ? 0 : topology_.gpus[0].free_bytes / 3;
    if (!specs.empty() && (host_bytes > topology_.host_bytes / 4 || gpu_bytes > gpu_room)) break;
    specs.push_back(std::move(spec));
  }
  return specs;
}

void Runner::show_progress(const std::vector<Work>& works, std::size_t at) {
  std::string left;
  if (at > 0) {
    const auto weight = [&](std::size_t begin, std::size_t end) {
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += pace_for(works[i], settings_).budget.count();
      return sum;
    };
    left = ", " + time_left(seconds_since(began_) * weight(at, works.size()) / weight(0, at));
  }
  context_.out.progress().note(
      fmt::format("[{}/{}{}] {}", at + 1, works.size(), left, works[at].key()));
}

// False: it cannot be had, and the result says why.
bool Runner::have_server(const std::vector<Work>& works, std::size_t at, Result& result) {
  const ServerSpec wanted = server_spec(works[at]);
  if (servers_.has(wanted)) return true;
  session_.reset();
  session_key_.clear();
  try {
    try {
      servers_.keep(servers_ahead(works, at));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::resource) throw;
      servers_.keep({wanted});  // all of them at once were too many
    }
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::resource) {
      result.skipped.push_back({works[at].key(), error.what()});
    } else if (error.code() != ErrorCode::cancelled) {
      throw;
    }
    return false;
  }
}

void Runner::run(const std::vector<Work>& works, Result& result) {
  began_ = Clock::now();
  for (std::size_t i = 0; i < works.size(); ++i) {
    const Work& work = works[i];
    if (settings_.end && Clock::now() > *settings_.end) {
      result.skipped.push_back({work.key(), "no time was left for it"});
      continue;
    }
    if (context_.interrupts.requested()) break;
    show_progress(works, i);
    if (needs_server(work) && !have_server(works, i, result)) continue;
    if (!run_one(work, result)) break;
  }
  result.interrupted = context_.interrupts.requested();
  context_.out.progress().clear();
}

// False: the benchmark was interrupted.
bool Runner::run_one(const Work& work, Result& result) {
  try {
    result.figures.push_back(work.group == Group::clients ? measure_clients(work)
                             : work.path == "iperf3"      ? measure_iperf3(work)
                             : work.path == "openssl"     ? measure_openssl(work)
                                                          : measure(work));
    return true;
  } catch (const Error& error) {
    // What a signal or the end of the time has cut short is no figure, and no error either.
    if (context_.interrupts.requested()) return false;
    if (ends_all(error.code())) {
      throw Error(error.code(), fmt::format("{}: {}", work.key(), error.what()), error.where());
    }
    result.skipped.push_back({work.key(), error.what()});
    return true;
  }
}

ClientTuning Runner::tuning_for(const Work& work) const {
  ClientTuning tuning;
  tuning.copy_threads = copy_threads(topology_);
  tuning.costs = settings_.costs;
  tuning.network.congestion = settings_.congestion;
  if (work.group == Group::ucx) tuning.ucx.transports = settings_.ucx_transports;
  if (work.wire == "tls") tuning.credentials.token_file = servers_.token_file();
  return tuning;
}

Session& Runner::session_for(const Work& work) {
  const SessionSpec spec{server_spec(work), client_device(work), work.layout,
                         pool_blocks(work, topology_, settings_.quick)};
  // Connections, once open, stay: a work has as many as it is about.
  const std::string key =
      fmt::format("{} {} {} {}", spec.server.key(), spec.device, spec.layout, work.streams);
  if (session_ == nullptr || key != session_key_) {
    session_.reset();
    session_ = std::make_unique<Session>(spec, servers_.address(spec.server), tuning_for(work),
                                         context_.log);
    session_key_ = key;
  }
  return *session_;
}

// Host copies from here on are measured with cold caches. Smaller ones are about latency: what the
// owner has just written may well be in a cache then.
constexpr std::uint64_t kColdBytes = std::uint64_t{8} << 20;

Figure Runner::measure(const Work& work) {
  Session& session = session_for(work);
  Session::Move move{.direction = direction_of(work),
                     .ids = session.ids(work.blocks, work.order == "scattered"),
                     .options = transfer_options(work)};
  if (work.copy == "prepared") session.prepare(move);
  FigureBuilder figure(work);
  figure.verified(session.verify(move));
  std::vector<Measure> measures;
  std::vector<double> wall;
  std::unique_ptr<BareLaunch> bare;
  if (work.group == Group::posting) {
    measures.push_back([&] {
      // What comes first leaves caches, clocks and the driver as they are between transfers.
      session.post(move).wait();
      const auto start = Clock::now();
      const double before = thread_cpu_seconds();
      const Transfer transfer = session.post(move);
      const double cpu = thread_cpu_seconds() - before;
      wall.push_back(seconds_since(start));
      transfer.wait();
      return cpu;
    });
    if (work.path == "cuda_ipc") {
      bare = make_bare_launch(copying_device(work), work.blocks,
                              pool_blocks(work, topology_, settings_.quick));
      figure.add_way("bare launch");
      measures.push_back([&] {
        session.post(move).wait();
        const double before = thread_cpu_seconds();
        bare->start();
        const double cpu = thread_cpu_seconds() - before;
        bare->wait();
        return cpu;
      });
    }
  } else {
    measures.push_back([&] {
      const auto start = Clock::now();
      session.post(move).wait();
      return seconds_since(start);
    });
    figure.against(references_.for_work(work).ways(work.bytes()), measures);
  }
  Pace pace = pace_for(work, settings_);
  if (work.link == "host" && work.group != Group::posting && work.bytes() >= kColdBytes) {
    if (cold_ == nullptr) cold_ = std::make_unique<ColdCaches>(copy_threads(topology_));
    pace.before = [this] { cold_->sweep(); };
    figure.note("every copy finds its source in memory, not in a cache");
  }
  const Samples samples = sample(pace, measures, [this] { return stop(); });
  if (!wall.empty()) figure.note(wall_note(std::move(wall)));
  return figure.finish(samples);
}

Figure Runner::measure_iperf3(const Work& work) {
  const Pace pace = pace_for(work, settings_);
  Reference& sockets = references_.for_work(work);
  return bench::measure_iperf3(references_.iperf3(), {work, sockets, settings_.congestion}, pace,
                               [this] { return stop(); });
}

Figure Runner::measure_openssl(const Work& work) {
  PlainSockets sockets(work.streams, settings_.congestion, PlainSockets::Inside::tls);
  FigureBuilder figure(work);
  figure.by_others(BareTls::version());
  figure.note("SSL_write and SSL_read alone, from one contiguous buffer into another");
  std::vector<Measure> measures{[&] { return sockets.copy(work.bytes()); }};
  figure.against(references_.for_work(work).ways(work.bytes()), measures);
  return figure.finish(sample(pace_for(work, settings_), measures, [this] { return stop(); }));
}

Figure Runner::measure_clients(const Work& work) {
  session_.reset();
  session_key_.clear();
  references_.drop();
  std::vector<ServerSpec> specs;
  // Servers that are pushed into hold other bytes afterwards: no later work may find them.
  const std::uint32_t first = work.direction == "both" ? 100 : 1;
  for (std::uint32_t i = 0; i < work.servers; ++i) specs.push_back(server_spec(work, first + i));
  servers_.keep(specs);
  CrowdSpec crowd{work, {}, specs.front().blocks, context_.interrupts};
  for (const Topology::Gpu& gpu : topology_.gpus)
    if (gpu.device == copying_device(work)) crowd.takes_turns = !gpu.mps;
  for (const ServerSpec& spec : specs) crowd.addresses.push_back(servers_.address(spec));
  return measure_crowd(crowd, settings_, [this] { return stop(); });
}

}  // namespace kvferry::cli::bench
