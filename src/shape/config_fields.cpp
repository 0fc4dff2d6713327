#include "shape/config_fields.hpp"

#include <fmt/format.h>

#include <algorithm>

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

// Reads the text once without keeping anything, so that what is then built is known to be small
// and well formed. (The parser's own callbacks could bound it on the way, but their cost is
// quadratic in the length of a list of objects.)
class Bounds final : public nlohmann::json_sax<json> {
 public:
  explicit Bounds(std::string_view text) : text_(text) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool string(string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool key(string_t&) override { return value(); }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  // Only the place is reported: the parser's own words can quote megabytes of the input.
  bool parse_error(std::size_t byte, const std::string&, const json::exception& error) override {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + std::min(byte, text_.size()), '\n');
    const bool too_large = dynamic_cast<const json::out_of_range*>(&error) != nullptr;
    refuse(fmt::format("not valid JSON at byte {}, line {}{}", byte, line,
                       too_large ? ": the number is too large" : ""));
  }

 private:
  bool value() {
    if (++values_ > kMaxValues) refuse(fmt::format("more than {} values", kMaxValues));
    return true;
  }
  bool open() {
    if (++depth_ > kMaxDepth) refuse(fmt::format("nested more than {} levels deep", kMaxDepth));
    return value();
  }
  bool close() {
    --depth_;
    return true;
  }

  std::string_view text_;
  std::size_t values_ = 0;
  int depth_ = 0;
};

}  // namespace

json parse_config(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    refuse(fmt::format("the text has {} bytes; at most {} are read", text.size(), kMaxTextBytes));
  }
  Bounds bounds(text);
  json::sax_parse(text.begin(), text.end(), &bounds);
  json config = json::parse(text.begin(), text.end());
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
