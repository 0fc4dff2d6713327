#pragma once

#include <string>
#include <vector>

#include "bench/result.hpp"
#include "output.hpp"

namespace kvferry::cli::bench {

// unknown: too few samples to tell from noise.
enum class Change { same, faster, slower, unknown };

// One work that both runs measured.
struct Pair {
  const Figure* before = nullptr;
  const Figure* after = nullptr;
  double change = 0;  // of the median time: 0.1 is 10 % more time, that is, slower
  Change verdict = Change::same;
};

// Pointers are into the two results, which must outlive it.
struct Comparison {
  std::vector<Pair> pairs;  // in the order of the new result
  std::vector<const Figure*> only_before, only_after;
  std::vector<std::string> warnings;  // why the two runs may not be comparable
  bool any_slower() const noexcept;
};
Comparison compare(const Result& before, const Result& after);

// As aligned text, at most 120 columns wide.
std::string comparison_table(const Comparison& comparison);

// `bench --compare A B`: reads two files of `bench --json`, A the older, and prints what changed.
// Returns the exit code: 0, or 1 when something is slower beyond noise.
// Throws: Error{invalid_argument} when a file cannot be read or is none of ours.
int run_compare(const std::string& a, const std::string& b, Output& out);

}  // namespace kvferry::cli::bench
