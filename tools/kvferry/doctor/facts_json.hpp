#pragma once

#include <nlohmann/json.hpp>

#include "doctor/facts.hpp"

// What doctor's processes tell one another, and the report's parts of the same form.
namespace kvferry::cli::doctor {

using Json = nlohmann::ordered_json;

Json to_json(const GpuDevice& gpu);
Json to_json(const PeerLink& peer);
Json to_json(const PairFact& pair);
Json to_json(const GpuFacts& facts);
// Throws: Error{resource} when it is not what to_json() wrote.
GpuFacts gpu_facts_of(const Json& json);
PairFact pair_of(const Json& json);

std::string_view to_string(PairFact::Outcome outcome) noexcept;
// A string, or null where it is empty.
Json text_or_null(const std::string& text);

}  // namespace kvferry::cli::doctor
