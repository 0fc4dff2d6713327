#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "gemm_beside/gemm_load.hpp"
#include "gemm_beside/puller.hpp"
#include "gemm_beside/result.hpp"

namespace gemm_beside {

struct Setting {
  std::string name;  // "16 SMs", "engine", "automatic"
  kvferry::TransferOptions options;
};

struct Pace {
  std::size_t rounds = 25;       // at most
  std::uint32_t seconds = 34;    // no round is begun that would end later
  std::uint32_t window_ms = 50;  // of the timed GEMMs, alone; pulls alone take half as long
  std::uint64_t seed = 1;
};

// Measures settings in rounds: each round takes every setting once, in random order, and for each
// in random order the GEMM alone, the pulls alone, and both. What the clocks do in half a minute
// then hits all of them, and what they do in a tenth of a second is in a pair's noise. One thread,
// with the GEMM's device current.
class Rounds {
 public:
  using Progress = std::function<void(const std::string&)>;

  Rounds(GemmLoad& gemm, Puller& puller, const kvferry::Pool& local, const Pace& pace,
         Progress progress);
  // Those that copy the same way are measured as one. Throws: Error.
  std::vector<Measured> measure(const std::vector<Setting>& settings);

  unsigned gemms() const noexcept { return gemms_; }
  double seconds() const noexcept { return seconds_; }

 private:
  struct Entry {
    Setting setting;
    Measured measured;
  };
  std::vector<Entry> distinct(const std::vector<Setting>& settings);
  void choose_counts();
  Sample sample(const Setting& setting);
  void gemm_alone(Sample& out);
  void pull_alone(const Setting& setting, Sample& out);
  void both(const Setting& setting, Sample& out);
  void check_bytes(Entry& entry);

  GemmLoad& gemm_;
  Puller& puller_;
  kvferry::Pool local_;
  Pace pace_;
  Progress progress_;
  std::mt19937_64 random_;
  unsigned gemms_ = 0, warm_ = 0;
  double seconds_ = 0;
};

}  // namespace gemm_beside
