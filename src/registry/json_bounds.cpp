#include "registry/json_bounds.hpp"

#include <fmt/format.h>

#include "base/bounded_json.hpp"
#include "kvferry/error.hpp"
#include "wire/text.hpp"

namespace kvferry::registry {

using nlohmann::json;

json parse_object(std::string_view text, std::size_t max_bytes, std::string_view what) {
  const JsonLimits limits{.bytes = max_bytes, .values = max_bytes, .depth = kMaxJsonDepth};
  json parsed = parse_bounded(text, what, limits, ErrorCode::refused);
  if (!parsed.is_object())
    throw Error(ErrorCode::refused, fmt::format("{}: is no JSON object", what));
  return parsed;
}

Fields::Fields(const json& object, std::string_view what) : object_(object), what_(what) {
  if (!object_.is_object()) fail("", "is no JSON object");
}

void Fields::fail(std::string_view name, std::string_view why) const {
  throw Error(ErrorCode::refused,
              fmt::format("{}{}{} {}", what_, name.empty() ? "" : ": ", name, why));
}

const json& Fields::at(const char* name) const {
  const auto found = object_.find(name);
  if (found == object_.end()) fail(name, "is missing");
  return *found;
}

std::uint64_t Fields::number(const char* name, std::uint64_t low, std::uint64_t high) const {
  const json& value = at(name);
  if (!value.is_number_unsigned()) fail(name, "is no whole number");
  const auto number = value.get<std::uint64_t>();
  if (number < low || number > high)
    fail(name, fmt::format("is {}, but must be {} to {}", number, low, high));
  return number;
}

bool Fields::flag(const char* name) const {
  const json& value = at(name);
  if (!value.is_boolean()) fail(name, "is neither true nor false");
  return value.get<bool>();
}

std::string Fields::text(const char* name, std::size_t max_bytes) const {
  const json& value = at(name);
  if (!value.is_string()) fail(name, "is no text");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > max_bytes)
    fail(name, fmt::format("has {} bytes, at most {} are read", text.size(), max_bytes));
  if (!wire::is_clean_text(text)) fail(name, "holds characters that could steer a terminal");
  return text;
}

const json& Fields::list(const char* name, std::size_t max_entries) const {
  const json& value = at(name);
  if (!value.is_array()) fail(name, "is no list");
  if (value.size() > max_entries)
    fail(name, fmt::format("has {} entries, at most {} are read", value.size(), max_entries));
  return value;
}

Fields Fields::object(const char* name) const {
  return {at(name), fmt::format("{}: {}", what_, name)};
}

}  // namespace kvferry::registry
