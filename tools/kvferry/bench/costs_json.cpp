#include "bench/costs_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

// Far more than such a file has.
constexpr std::size_t kMaxBytes = 64 << 10;

struct Part {
  const char* name;
  double CopyCost::* value;
  double low, high;  // beyond them it is no machine's
};
constexpr Part kParts[] = {{"start_us", &CopyCost::start_us, 0, 1e6},
                           {"gb_per_s", &CopyCost::gb_per_s, 1e-3, 1e6},
                           {"gap_us", &CopyCost::gap_us, 0, 1e6}};

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}; a calibration is written by kvferry bench --calibrate",
                          quote_path(name), why));
}

CopyCost parse_cost(const Json& json, const std::string& field, std::string_view name) {
  CopyCost cost;
  if (!json.is_object()) refuse(name, fmt::format("costs.{} is no object", field));
  for (const Part& part : kParts) {
    const auto found = json.find(part.name);
    if (found == json.end() || !found->is_number()) {
      refuse(name, fmt::format("costs.{}.{} is missing or no number", field, part.name));
    }
    const double value = found->get<double>();
    if (!std::isfinite(value) || value < part.low || value > part.high) {
      refuse(name, fmt::format("costs.{}.{} is {}; it must be {} to {}", field, part.name, value,
                               part.low, part.high));
    }
    cost.*part.value = value;
  }
  return cost;
}

}  // namespace

std::string to_json(const Calibration& calibration) {
  Json costs = Json::object();
  for (const auto& [name, field] : cost_fields()) {
    const CopyCost& cost = calibration.costs.*field;
    Json entry = Json::object();
    for (const Part& part : kParts) entry[part.name] = cost.*part.value;
    const auto error = calibration.errors.find(name);
    // Tells measured ones from those that are the built-in ones.
    entry["worst_error"] = error == calibration.errors.end() ? Json(nullptr) : Json(error->second);
    costs[name] = std::move(entry);
  }
  const Json json{{"schema", kCostsSchema},
                  {"kind", "kvferry copy costs"},
                  {"gpu", calibration.gpu},
                  {"costs", std::move(costs)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

Calibration costs_from_json(std::string_view text, std::string_view name) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) refuse(name, "not a JSON object");
  const auto schema = json.find("schema");
  if (schema == json.end() || *schema != kCostsSchema) {
    refuse(name, fmt::format("schema is {}, not {}",
                             schema == json.end() ? "missing" : schema->dump(), kCostsSchema));
  }
  Calibration calibration;
  const auto gpu = json.find("gpu");
  if (gpu == json.end() || !gpu->is_string()) refuse(name, "gpu is missing or no text");
  calibration.gpu = gpu->get<std::string>();
  const auto costs = json.find("costs");
  if (costs == json.end() || !costs->is_object()) refuse(name, "costs is missing or no object");
  for (const auto& [field, value] : costs->items()) {
    const auto known = cost_fields().find(field);
    if (known == cost_fields().end()) continue;  // of a later version
    calibration.costs.*known->second = parse_cost(value, field, name);
    const auto error = value.find("worst_error");
    if (error == value.end() || !error->is_number()) continue;
    calibration.measured.push_back(field);
    calibration.errors[field] = error->get<double>();
  }
  for (const auto& [field, member] : cost_fields()) {
    if (!costs->contains(field)) refuse(name, fmt::format("costs.{} is missing", field));
  }
  return calibration;
}

Calibration read_costs(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, "it cannot be opened");
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.empty()) refuse(path, "it is empty or cannot be read");
  if (text.size() > kMaxBytes) refuse(path, "it is larger than 64 KiB");
  return costs_from_json(text, path);
}

}  // namespace kvferry::cli::bench
