#pragma once

#include <string>
#include <vector>

#include "bench/reference.hpp"
#include "bench/result.hpp"
#include "bench/sampler.hpp"
#include "bench/topology.hpp"
#include "kvferry/transfer.hpp"

namespace kvferry::cli::bench {

// Puts a figure together: from what a transfer reported and what was sampled. Pure.
class FigureBuilder {
 public:
  explicit FigureBuilder(const Work& work) { figure_.work = work; }
  void verified(const TransferReport& report);
  // Another program's doing, whose bytes nobody compares.
  void by_others(std::string method) { figure_.method = std::move(method); }
  // One way to do the reference's copy; in the order of the samples after ours.
  void add_way(std::string name) { ways_.push_back(std::move(name)); }
  // All ways of a reference, and their copies behind the measurements there are.
  void against(std::vector<ReferenceWay> ways, std::vector<Measure>& measures);
  // One more sentence.
  void note(const std::string& text);
  // samples.of[0] is ours. Throws: Error{cancelled} when there is not one repetition.
  Figure finish(const Samples& samples);

 private:
  Figure figure_;
  std::vector<std::string> ways_;
};

// "5.1 us by the clock": the median, from samples in seconds. Requires: not empty.
std::string wall_note(std::vector<double> samples);

// Whether the median is known so poorly that the note says so.
bool noisy(const Figure& figure) noexcept;

// Threads that copy in host memory, ours and the reference's: what the library would choose.
unsigned copy_threads(const Topology& topology) noexcept;

}  // namespace kvferry::cli::bench
