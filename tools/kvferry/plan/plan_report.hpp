#pragma once

#include <optional>
#include <string>
#include <vector>

#include "geometry.hpp"
#include "plan/command.hpp"
#include "plan/predict.hpp"
#include "report.hpp"

namespace kvferry::cli::planning {

// All that kvferry plan found.
struct Report {
  Geometry geometry;
  Inputs inputs;
  Variant cache;  // as given
  std::vector<Variant> block_sizes, ranks;
  std::vector<std::string> notes;  // what the prediction leaves out
};

// Throws: Error{invalid_argument} naming the option at fault.
Report make_report(const PlanOptions& options);

// The report for people, at most 100 columns wide.
std::string to_text(const Report& report, const PlanOptions& options);
// docs/json.md, "kvferry plan". A failure has no report, or none yet.
std::string to_json(const PlanOptions& options, const std::optional<Report>& report,
                    const std::optional<Failure>& failure);

}  // namespace kvferry::cli::planning
