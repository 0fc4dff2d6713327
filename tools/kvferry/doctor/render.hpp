#pragma once

#include <optional>
#include <string>

#include "doctor/check.hpp"
#include "doctor/facts.hpp"
#include "report.hpp"

namespace kvferry::cli::doctor {

// What a person reads: groups of checks, the matrix of GPUs, the paths, and one line that sums up.
std::string to_text(const Facts& facts, const Diagnosis& diagnosis);
// The matrix alone: one row for each GPU that reads, one column for each that is read.
std::string peer_matrix(const GpuFacts& gpus);
// "healthy: ..." or "2 findings: ...".
std::string summary(const Diagnosis& diagnosis);

// The document of --json, see docs/json.md. `failure`: why doctor itself did not come to its end.
std::string to_document(const Facts& facts, const Diagnosis& diagnosis, int exit_code,
                        const std::optional<Failure>& failure);

}  // namespace kvferry::cli::doctor
