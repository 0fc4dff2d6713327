#include "shape/config_fields.hpp"

#include <fmt/format.h>

#include "base/bounded_json.hpp"
#include "kvferry/error.hpp"

namespace kvferry::shape {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxTextBytes = 16u << 20;
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxValues = 1'000'000;
constexpr std::size_t kMaxShownBytes = 60;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorCode::invalid_argument, "model config: " + problem);
}

}  // namespace

json parse_config(std::string_view text) {
  json config = parse_bounded(text, "model config", {kMaxTextBytes, kMaxValues, kMaxDepth});
  if (!config.is_object()) refuse(fmt::format("is {}, but must be a JSON object", show(config)));
  return config;
}

bool ConfigFields::contains(std::string_view name) const { return object_->contains(name); }

const json* ConfigFields::find(std::string_view name) const {
  const auto it = object_->find(name);
  return it == object_->end() || it->is_null() ? nullptr : &*it;
}

std::optional<std::uint32_t> ConfigFields::count(std::string_view name, std::uint32_t most) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  // Unsigned: the parser keeps negative and fractional numbers, and those beyond 64 bits, apart.
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= 1 && number <= most) return static_cast<std::uint32_t>(number);
  }
  fail_value(name, fmt::format("a whole number from 1 to {}", most));
}

std::uint32_t ConfigFields::required_count(std::string_view name, std::uint32_t most) const {
  if (const auto number = count(name, most)) return *number;
  fail(name, contains(name) ? "is null, but is needed" : "is missing");
}

std::optional<std::string> ConfigFields::text(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail_value(name, "a string");
  return value->get<std::string>();
}

std::optional<bool> ConfigFields::flag(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail_value(name, "true or false");
  return value->get<bool>();
}

std::optional<ConfigFields> ConfigFields::object(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail_value(name, "an object");
  return ConfigFields(*value, path_ + std::string(name) + ".");
}

void ConfigFields::fail(std::string_view name, std::string_view problem) const {
  refuse(fmt::format("{}{} {}", path_, name, problem));
}

void ConfigFields::fail_value(std::string_view name, std::string_view expected) const {
  const auto it = object_->find(name);
  fail(name, fmt::format("is {}, but must be {}", it == object_->end() ? "missing" : show(*it),
                         expected));
}

std::string show(const json& value) {
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_object()) return fmt::format("an object of {} fields", value.size());
  // ASCII only, so that cutting it cannot split a character.
  std::string shown = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (shown.size() > kMaxShownBytes) {
    shown.resize(kMaxShownBytes);
    shown += "...";
  }
  return shown;
}

}  // namespace kvferry::shape
