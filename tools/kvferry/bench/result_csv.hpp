#pragma once

#include <string>

#include "bench/result.hpp"

namespace kvferry::cli::bench {

// What `bench --csv` writes: a header and one line a figure (RFC 4180, but lines end in \n). Times
// are seconds; what does not apply is empty. Text that a spreadsheet would take for a formula
// starts with an apostrophe.
std::string to_csv(const Result& result);

}  // namespace kvferry::cli::bench
