// What a transfer through the cuda_ipc route costs, from call to done, against one contiguous
// cudaMemcpyAsync of the same bytes in the same run. Repetitions are interleaved, so that a busy
// machine slows both alike. "told" is when an observer hears of the end that nobody waits for.
//
//   bench_cuda_copy [--reps 15] [--only TEXT] [--json FILE] [--sweep]
//
// One process: pools on cuda:0 (same GPU), on cuda:0 and cuda:1 where there are two that reach each
// other, and in host memory. Each case is checked to the byte once. --sweep times kernel shapes
// instead, for tuning.

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "cuda_copy/cases.hpp"
#include "cuda_copy/sweep.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_handles.hpp"
#include "path/cuda_ipc/cuda_ipc_path.hpp"
#include "pattern/pattern.hpp"

namespace {

using namespace kvferry;
using namespace kvferry::bench;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Options {
  int reps = 15;
  std::string only, json;
  bool sweep = false;
};

// Hears of the end of copies that nobody waits for.
struct TellOnQuiet final : path::JobObserver {
  std::atomic<std::uint32_t> quiet{0};
  void job_is_quiet() noexcept override { ++quiet; }
};

struct Figures {
  std::string pair, name, method;
  double bytes = 0, median_us = 0, p99_us = 0, reference_us = 0, told_us = 0;
  bool right = false;
};

bool right(path::Route& route, const plan::Plan& plan, const path::JobOptions& job,
           const Pool& from, const Pool& to, const std::vector<std::uint32_t>& from_ids,
           const std::vector<std::uint32_t>& to_ids) {
  std::vector<pattern::BlockSpec> source, all, wanted;
  for (std::uint32_t b = 0; b < from.blocks(); ++b)
    source.push_back({b, b, pattern::Fill::indexed, 1});
  for (std::uint32_t b = 0; b < to.blocks(); ++b) all.push_back({b, b, pattern::Fill::indexed, 2});
  wanted = all;
  for (std::size_t i = 0; i < to_ids.size(); ++i)
    wanted[to_ids[i]] = {to_ids[i], from_ids[i], pattern::Fill::indexed, 1};
  pattern::fill(from, source, {});
  pattern::fill(to, all, {});
  plan::Plan copy = plan;
  const auto running = route.start(copy, job, nullptr);
  running->wait_until(Clock::now() + 20s);
  return running->poll() && running->poll()->moved_all && pattern::check(to, wanted, {}).bytes == 0;
}

Figures measure(const Case& c, const std::string& pair, const Pool& remote, const Pool& local,
                path::Route& route, int reps) {
  const auto remote_ids = ids(c, remote.blocks(), 1);
  const auto local_ids = ids(c, local.blocks(), 2);
  const bool pull = c.direction == Direction::pull;
  const plan::Plan plan =
      plan::make_plan(pull ? route.remote() : route.local(), pull ? route.local() : route.remote(),
                      pull ? remote_ids : local_ids, pull ? local_ids : remote_ids, {});
  const Pool& from = pull ? remote : local;
  const Pool& to = pull ? local : remote;
  path::JobOptions job;
  job.direction = c.direction;
  job.copy = c.copy;
  job.max_sms = c.max_sms;
  Figures f{pair, c.name, "", static_cast<double>(plan.bytes() * c.at_once), 0, 0, 0, 0, false};
  f.right = right(route, plan, job, from, to, pull ? remote_ids : local_ids,
                  pull ? local_ids : remote_ids);
  const int device = local.device().is_cuda() ? local.device().ordinal : remote.device().ordinal;
  const cuda::DeviceGuard guard(device);
  const auto stream = cuda::Stream::create();
  std::vector<double> ours, reference, told;
  double theirs_us = 0, ours_us = 0;
  const auto time_reference = [&] {
    theirs_us = time_us([&] { contiguous_copy(from, to, plan.bytes(), stream.get(), c.at_once); });
  };
  const auto time_ours = [&] {
    plan::Plan copy = plan;
    ours_us = time_us([&] {
      std::vector<std::shared_ptr<path::Job>> running;
      for (std::uint32_t i = 0; i < c.at_once; ++i)
        running.push_back(route.start(copy, job, nullptr));
      for (const auto& one : running) one->wait_until(Clock::now() + 20s);
      f.method = running.front()->method();
    });
  };
  const auto time_told = [&] {
    plan::Plan copy = plan;
    const auto heard = std::make_shared<TellOnQuiet>();
    path::JobOptions prompt = job;
    prompt.prompt = true;
    return time_us([&] {
      std::vector<std::shared_ptr<path::Job>> running;
      for (std::uint32_t i = 0; i < c.at_once; ++i)
        running.push_back(route.start(copy, prompt, heard));
      while (heard->quiet.load() < c.at_once) std::this_thread::yield();
    });
  };
  for (int i = -4; i < reps; ++i) {
    // Each follows a pause, and either of the two as often: what one leaves in the caches costs
    // both alike.
    const bool ours_first = i % 2 != 0;
    for (const bool mine : {ours_first, !ours_first}) {
      std::this_thread::sleep_for(200us);
      mine ? time_ours() : time_reference();
    }
    if (i < 0) continue;
    ours.push_back(ours_us);
    reference.push_back(theirs_us);
    std::this_thread::sleep_for(200us);
    told.push_back(time_told());
  }
  f.told_us = percentile(told, 0.5);
  f.median_us = percentile(ours, 0.5);
  f.p99_us = percentile(ours, 0.99);
  f.reference_us = percentile(reference, 0.5);
  return f;
}

std::vector<Case> cases_for(bool host) {
  std::vector<Case> cases = {
      {"64 KiB x 64 pull", 16, 64, Direction::pull},
      {"64 KiB x 64 push", 16, 64, Direction::push},
      {"64 KiB x 64 pull, 4 at once", 16, 64, Direction::pull, CopyMethod::automatic, 0, false, 4},
      {"64 KiB x 64 pull, 16 SMs", 16, 64, Direction::pull, CopyMethod::automatic, 16},
      {"64 KiB x 64 pull, engine", 16, 64, Direction::pull, CopyMethod::engine},
      {"64 KiB x 64 push, engine", 16, 64, Direction::push, CopyMethod::engine},
      {"64 KiB x 64 contiguous", 16, 64, Direction::pull, CopyMethod::automatic, 0, true},
      {"64 KiB x 64 contiguous, kernel", 16, 64, Direction::pull, CopyMethod::kernel, 0, true},
      {"8 KiB x 480 pull", 2, 480, Direction::pull},
      {"8 KiB x 480 push", 2, 480, Direction::push},
      {"64 KiB x 1 pull", 16, 1, Direction::pull},
      {"64 KiB x 1 push", 16, 1, Direction::push},
      {"64 KiB x 1 pull, kernel", 16, 1, Direction::pull, CopyMethod::kernel},
      {"64 KiB x 1 pull, engine", 16, 1, Direction::pull, CopyMethod::engine},
      {"64 KiB x 8 pull", 16, 8, Direction::pull},
      {"64 KiB x 400 pull", 16, 400, Direction::pull},
  };
  if (host) std::erase_if(cases, [](const Case& c) { return c.count == 400; });
  return cases;
}

void measure_pair(const std::string& name, Device remote, Device local, const Options& options,
                  std::vector<Figures>& figures) {
  path::CudaIpcPath path;
  const bool host = !remote.is_cuda() || !local.is_cuda();
  for (const std::uint32_t tokens : {16u, 2u}) {
    const CacheShape shape = [&] {
      CacheShape s;
      s.block_tokens = tokens;
      return s;
    }();
    const auto blocks =
        static_cast<std::uint32_t>(shape.blocks_for(host ? 1ull << 30 : 4ull << 30));
    const Pool theirs = make_pool(remote, shape, blocks);
    const Pool ours = make_pool(local, shape, blocks);
    const auto route = path.open(ours.state(), end_of(theirs));
    for (const Case& c : cases_for(host)) {
      if (c.block_tokens != tokens || (name + " " + c.name).find(options.only) == std::string::npos)
        continue;
      const int reps = c.count == 1 ? std::max(options.reps, 200) : options.reps;
      const Figures f = measure(c, name, theirs, ours, *route, reps);
      fmt::print(
          "{:<12} {:<32} {:<26} {:>8.1f} MiB {:>9.1f} us (p99 {:>8.1f}; told {:>8.1f}) "
          "{:>7.1f} GB/s {:>9.1f} us {:>6.1f} %{}\n",
          f.pair, f.name, f.method, f.bytes / 1048576, f.median_us, f.p99_us, f.told_us,
          f.bytes / f.median_us / 1e3, f.reference_us, 100 * f.reference_us / f.median_us,
          f.right ? "" : "  WRONG BYTES");
      std::fflush(stdout);
      figures.push_back(f);
    }
  }
}

void write_json(const std::vector<Figures>& figures, const std::string& file) {
  std::FILE* out = std::fopen(file.c_str(), "w");
  if (out == nullptr) {
    fmt::print(stderr, "cannot write {}\n", file);
    return;
  }
  fmt::print(out, "[\n");
  for (std::size_t i = 0; i < figures.size(); ++i) {
    const Figures& f = figures[i];
    fmt::print(
        out,
        "  {{\"pair\": \"{}\", \"case\": \"{}\", \"method\": \"{}\", \"bytes\": {:.0f}, "
        "\"median_us\": {:.2f}, \"p99_us\": {:.2f}, \"told_us\": {:.2f}, \"gb_per_s\": {:.2f}, "
        "\"contiguous_us\": {:.2f}, \"ratio\": {:.4f}, \"right\": {}}}{}\n",
        f.pair, f.name, f.method, f.bytes, f.median_us, f.p99_us, f.told_us,
        f.bytes / f.median_us / 1e3, f.reference_us, f.reference_us / f.median_us, f.right,
        i + 1 < figures.size() ? "," : "");
  }
  fmt::print(out, "]\n");
  std::fclose(out);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (flag == "--reps") options.reps = std::max(1, std::atoi(value().c_str()));
    if (flag == "--only") options.only = value();
    if (flag == "--json") options.json = value();
    if (flag == "--sweep") options.sweep = true;
  }
  return options;
}

int run(const Options& options) {
  std::string why;
  const int devices = cuda_device_count(&why);
  if (devices == 0) {
    fmt::print("no usable GPU: {}\n", why);
    return 77;
  }
  const bool two = devices > 1 && cuda::can_reach(0, 1);
  if (options.sweep) {
    sweep_pair("same GPU", Device::cuda(0), Device::cuda(0));
    if (two) sweep_pair("peer GPU", Device::cuda(1), Device::cuda(0));
    return 0;
  }
  std::vector<Figures> figures;
  const auto pair = [&](const std::string& name, Device remote, Device local) {
    measure_pair(name, remote, local, options, figures);
  };
  pair("same GPU", Device::cuda(0), Device::cuda(0));
  if (two) pair("peer GPU", Device::cuda(1), Device::cuda(0));
  pair("host to GPU", Device::host(), Device::cuda(0));
  pair("GPU to host", Device::cuda(0), Device::host());
  if (!options.json.empty()) write_json(figures, options.json);
  const bool all_right = std::ranges::all_of(figures, &Figures::right);
  return all_right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_cuda_copy: {}\n", e.what());
    return 6;
  }
}
