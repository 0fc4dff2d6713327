#include "gemm_beside/rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <utility>

#include "gemm_beside/owner.hpp"
#include "gemm_beside/rate.hpp"
#include "pattern/pattern.hpp"

namespace gemm_beside {
namespace {

using namespace kvferry;

// What the local pool holds before the pulls that are checked.
constexpr std::uint64_t kLocalSeed = 2;
// Few enough that a round of a large GEMM stays short, many enough for a median.
constexpr unsigned kLeastGemms = 8, kMostGemms = 2000;
// Before the timed ones, so that clocks and caches are as they are in the middle of a run.
constexpr unsigned kWarmShare = 5;  // a fifth
constexpr unsigned kCalibrationGemms = 10;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<pattern::BlockSpec> untouched(const Pool& pool) {
  std::vector<pattern::BlockSpec> specs;
  for (std::uint32_t b = 0; b < pool.blocks(); ++b)
    specs.push_back({b, b, pattern::Fill::indexed, kLocalSeed});
  return specs;
}

double median_of(const std::vector<double>& values) {
  return kvferry::stats::summarize(values).median;
}

}  // namespace

Rounds::Rounds(GemmLoad& gemm, Puller& puller, const Pool& local, const Pace& pace,
               Progress progress)
    : gemm_(gemm),
      puller_(puller),
      local_(local),
      pace_(pace),
      progress_(std::move(progress)),
      random_(pace.seed) {}

std::vector<Measured> Rounds::measure(const std::vector<Setting>& settings) {
  auto entries = distinct(settings);
  choose_counts();
  for (Entry& entry : entries) check_bytes(entry);
  std::vector<std::size_t> order(entries.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto start = Clock::now();
  double longest = 0;
  for (std::size_t round = 0; round < pace_.rounds; ++round) {
    const auto begin = Clock::now();
    if (round > 0 && seconds_since(start) + longest > pace_.seconds) break;
    progress_(fmt::format("round {} of at most {}, {:.0f} s of {}", round + 1, pace_.rounds,
                          seconds_since(start), pace_.seconds));
    std::ranges::shuffle(order, random_);
    for (const std::size_t i : order)
      entries[i].measured.samples.push_back(sample(entries[i].setting));
    longest = std::max(longest, seconds_since(begin));
  }
  seconds_ = seconds_since(start);
  std::vector<Measured> out;
  for (Entry& entry : entries) out.push_back(std::move(entry.measured));
  return out;
}

// An SM budget above what a transfer takes changes nothing: what reports the same method is the
// same copy.
std::vector<Rounds::Entry> Rounds::distinct(const std::vector<Setting>& settings) {
  std::vector<Entry> entries;
  for (const Setting& setting : settings) {
    progress_(fmt::format("trying {}", setting.name));
    puller_.start(setting.options);
    puller_.wait_for(puller_.at_once());
    puller_.stop();
    const std::string method = puller_.report().method;
    const auto same =
        std::ranges::find_if(entries, [&](const Entry& e) { return e.measured.method == method; });
    if (same != entries.end()) {
      same->measured.same.push_back(setting.name);
    } else {
      entries.push_back({setting, {.setting = setting.name, .method = method}});
    }
  }
  return entries;
}

void Rounds::choose_counts() {
  progress_("timing the GEMM");
  const double ms = gemm_.run(kCalibrationGemms, kCalibrationGemms).mean_ms;
  const double wanted = std::clamp(pace_.window_ms / ms, double{kLeastGemms}, double{kMostGemms});
  gemms_ = static_cast<unsigned>(std::lround(wanted));
  warm_ = std::max(2u, gemms_ / kWarmShare);
}

// Pulls beside the GEMM, then every byte of the local pool: the pulled blocks and all others.
void Rounds::check_bytes(Entry& entry) {
  progress_(fmt::format("checking the bytes of {}", entry.setting.name));
  auto specs = untouched(local_);
  pattern::fill(local_, specs, {});
  Sample ignored;
  both(entry.setting, ignored);
  for (const BlockIds& ids : puller_.ids()) {
    for (std::size_t i = 0; i < ids.local.size(); ++i)
      specs[ids.local[i]] = {ids.local[i], ids.remote[i], pattern::Fill::indexed, kOwnerSeed};
  }
  entry.measured.wrong_bytes = pattern::check(local_, specs, {}).bytes;
}

Sample Rounds::sample(const Setting& setting) {
  Sample out;
  std::array phases{0, 1, 2};
  std::ranges::shuffle(phases, random_);
  for (const int phase : phases) {
    if (phase == 0) gemm_alone(out);
    if (phase == 1) pull_alone(setting, out);
    if (phase == 2) both(setting, out);
  }
  return out;
}

void Rounds::gemm_alone(Sample& out) {
  const GemmTimes times = gemm_.run(gemms_, warm_);
  out.gemm_alone_ms = times.mean_ms;
  out.median_alone_ms = median_of(times.each_ms);
}

void Rounds::pull_alone(const Setting& setting, Sample& out) {
  // One SM may need long for a pull: three of each list are enough for a rate.
  const std::size_t least = 4 * puller_.at_once();
  const std::chrono::duration<double, std::milli> window(pace_.window_ms / 2);
  puller_.start(setting.options);
  puller_.wait_for(puller_.at_once());
  std::this_thread::sleep_for(window);
  puller_.wait_for(least);
  const auto end = Clock::now();
  const auto ends = puller_.stop();
  // From where all were running: those before began one after the other.
  out.pull_alone =
      rate_within(ends, ends[puller_.at_once() - 1], end, puller_.report().bytes).value_or(0);
}

void Rounds::both(const Setting& setting, Sample& out) {
  puller_.start(setting.options);
  puller_.wait_for(puller_.at_once());
  // From now on as many run as ever, and each list was pulled once (for check_bytes).
  const GemmTimes times = gemm_.run(gemms_, warm_);
  const auto ends = puller_.stop();
  out.gemm_beside_ms = times.mean_ms;
  out.median_beside_ms = median_of(times.each_ms);
  out.pull_beside = rate_within(ends, times.begin, times.end, puller_.report().bytes).value_or(0);
}

}  // namespace gemm_beside
