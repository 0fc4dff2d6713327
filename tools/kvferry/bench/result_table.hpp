#pragma once

#include <string>

#include "bench/result.hpp"

namespace kvferry::cli::bench {

// The figures as aligned text for a terminal, at most 120 columns wide: a section for each group,
// the notes below it, and at the end what was skipped and why. No line break at its end.
std::string result_table(const Result& result);

}  // namespace kvferry::cli::bench
