#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/result.hpp"
#include "bench/topology.hpp"
#include "kvferry/copy_costs.hpp"

// From measured transfers to the cost model by which a copy method is chosen. Pure.
namespace kvferry::cli::bench {

// One measured transfer: so many bytes in so many copies of an engine (a kernel: 1).
struct CostPoint {
  double bytes = 0, copies = 1, us = 0;
};

// The cost that fits best: least squares of the relative errors, so that 15 us count as much as 3
// ms; none of the three parts is negative. nullopt where the points do not tell: fewer than two
// sizes, or times that do not grow with them. Where all have one copy there is no gap.
std::optional<CopyCost> fit_cost(const std::vector<CostPoint>& points);

// What a cost predicts for the points, against what was measured: the largest relative error.
double worst_error(const CopyCost& cost, const std::vector<CostPoint>& points);

// The costs of the model, by name: "peer_engine", ...
inline const std::map<std::string, CopyCost CopyCosts::*>& cost_fields() {
  static const std::map<std::string, CopyCost CopyCosts::*> fields{
      {"peer_engine", &CopyCosts::peer_engine},
      {"peer_kernel", &CopyCosts::peer_kernel},
      {"same_gpu_flat_engine", &CopyCosts::same_gpu_flat_engine},
      {"same_gpu_engine", &CopyCosts::same_gpu_engine},
      {"same_gpu_kernel", &CopyCosts::same_gpu_kernel},
      {"from_host_engine", &CopyCosts::from_host_engine},
      {"from_host_kernel", &CopyCosts::from_host_kernel},
      {"to_host_engine", &CopyCosts::to_host_engine},
      {"to_host_kernel", &CopyCosts::to_host_kernel}};
  return fields;
}

// What has to be measured for it on this machine; empty where there is no GPU.
std::vector<Work> calibration_works(const Topology& topology);

// Which cost a figure tells about, and what it tells: from its link and from how it was reported
// to have copied ("copy engine 2D, 64 copies"). nullopt: about none.
struct CostEvidence {
  std::string field;
  CostPoint point;
};
std::optional<CostEvidence> evidence_of(const Figure& figure);

struct Calibration {
  std::string gpu;                       // its name
  CopyCosts costs;                       // built-in where nothing was measured
  std::vector<std::string> measured;     // names of the fields that were
  std::map<std::string, double> errors;  // of those, see worst_error()
};
Calibration calibrate(const std::vector<Figure>& figures, std::string gpu);

// Measured beside built-in, as aligned text.
std::string calibration_table(const Calibration& calibration);

}  // namespace kvferry::cli::bench
