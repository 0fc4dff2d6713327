#include "bench/json_fields.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli::bench {
namespace {

using Json = nlohmann::json;

std::string show(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  return value.dump();
}

[[noreturn]] void refuse(std::string_view document, std::string_view why) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}", document, why));
}

// Counts, and stops at the first that is too many. (The parser's own callbacks could, but their
// cost is quadratic in the length of a list of objects.)
class Bounds final : public nlohmann::json_sax<Json> {
 public:
  Bounds(std::string_view document, const JsonLimits& limits)
      : document_(document), limits_(limits) {}

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
  // Only the place: the parser's own words can quote megabytes of the text.
  bool parse_error(std::size_t byte, const std::string&, const Json::exception& error) override {
    const bool too_large = dynamic_cast<const Json::out_of_range*>(&error) != nullptr;
    refuse(document_, fmt::format("is not JSON: wrong at byte {}{}", byte,
                                  too_large ? ", a number out of range" : ""));
  }

 private:
  bool value() {
    if (++values_ > limits_.values) {
      refuse(document_, fmt::format("holds more than {} values", limits_.values));
    }
    return true;
  }
  bool open() {
    if (++depth_ > limits_.depth) {
      refuse(document_, fmt::format("is nested more than {} levels deep", limits_.depth));
    }
    return value();
  }
  bool close() {
    --depth_;
    return true;
  }

  std::string_view document_;
  JsonLimits limits_;
  std::size_t values_ = 0;
  int depth_ = 0;
};

}  // namespace

Json parse_bounded(std::string_view text, std::string_view document, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    refuse(document, fmt::format("is {} bytes; at most {} are read", text.size(), limits.bytes));
  }
  Bounds bounds(document, limits);
  Json::sax_parse(text, &bounds);
  return Json::parse(text);
}

JsonField::JsonField(const Json& value, std::string_view document, std::string where)
    : value_(&value), document_(document), where_(std::move(where)) {}

JsonField JsonField::operator[](std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto found = value_->find(key);
  const std::string where = where_.empty() ? std::string(key) : fmt::format("{}.{}", where_, key);
  if (found == value_->end()) {
    refuse(document_, fmt::format("{} is missing", where));
  }
  return {*found, document_, where};
}

bool JsonField::has(std::string_view key) const noexcept {
  return value_->is_object() && value_->contains(key);
}

bool JsonField::is_null() const noexcept { return value_->is_null(); }

std::string JsonField::text(std::size_t max_bytes) const {
  const auto* text = value_->get_ptr<const std::string*>();
  if (text == nullptr || text->size() > max_bytes) {
    fail(fmt::format("a text of at most {} bytes", max_bytes));
  }
  return *text;
}

bool JsonField::flag() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

double JsonField::number(double low, double high) const {
  const double number = value_->is_number() ? value_->get<double>() : low - 1;
  if (!(number >= low && number <= high)) fail(fmt::format("a number from {} to {}", low, high));
  return number;
}

std::uint64_t JsonField::count(std::uint64_t low, std::uint64_t high) const {
  const bool whole = value_->is_number_unsigned();
  const std::uint64_t count = whole ? value_->get<std::uint64_t>() : 0;
  if (!whole || count < low || count > high) {
    fail(fmt::format("a whole number from {} to {}", low, high));
  }
  return count;
}

std::size_t JsonField::each(std::size_t max,
                            const std::function<void(const JsonField&)>& use) const {
  if (!value_->is_array() || value_->size() > max) {
    fail(fmt::format("a list of at most {}", max));
  }
  for (std::size_t i = 0; i < value_->size(); ++i) {
    use(JsonField((*value_)[i], document_, fmt::format("{}[{}]", where_, i)));
  }
  return value_->size();
}

void JsonField::fail(std::string_view should_be) const {
  refuse(document_,
         fmt::format("{} is {}; it should be {}", where_.empty() ? "the document" : where_,
                     show(*value_), should_be));
}

}  // namespace kvferry::cli::bench
