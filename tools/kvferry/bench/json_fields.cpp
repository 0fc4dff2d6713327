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

}  // namespace

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
