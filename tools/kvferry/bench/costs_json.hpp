#pragma once

#include <string>
#include <string_view>

#include "bench/calibration.hpp"

namespace kvferry::cli::bench {

// What `bench --calibrate` writes and --costs reads.
inline constexpr int kCostsSchema = 1;
std::string to_json(const Calibration& calibration);

// The text may be anybody's: every field is checked. `name` is what errors call it.
// Throws: Error{invalid_argument} naming the field, its value and what it should be.
Calibration costs_from_json(std::string_view text, std::string_view name);
// Throws: as costs_from_json, also for a file that cannot be read.
Calibration read_costs(const std::string& path);

}  // namespace kvferry::cli::bench
