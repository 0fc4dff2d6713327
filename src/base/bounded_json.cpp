#include "base/bounded_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace kvferry {
namespace {

using nlohmann::json;

// Counts, and stops at the first that is too many. (The parser's own callbacks could, but their
// cost is quadratic in the length of a list of objects.)
class Bounds final : public nlohmann::json_sax<json> {
 public:
  Bounds(std::string_view text, std::string_view document, const JsonLimits& limits, ErrorCode code)
      : text_(text), document_(document), limits_(limits), code_(code) {}

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(code_, fmt::format("{}: {}", document_, why));
  }

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
    refuse(fmt::format("is not valid JSON at byte {}, line {}{}", byte, line,
                       too_large ? ": the number is too large" : ""));
  }

 private:
  bool value() {
    if (++values_ > limits_.values)
      refuse(fmt::format("holds more than {} values", limits_.values));
    return true;
  }
  bool open() {
    if (++depth_ > limits_.depth)
      refuse(fmt::format("is nested more than {} levels deep", limits_.depth));
    return value();
  }
  bool close() {
    --depth_;
    return true;
  }

  const std::string_view text_;
  const std::string_view document_;
  const JsonLimits limits_;
  const ErrorCode code_;
  std::size_t values_ = 0;
  int depth_ = 0;
};

}  // namespace

json parse_bounded(std::string_view text, std::string_view document, const JsonLimits& limits,
                   ErrorCode code) {
  Bounds bounds(text, document, limits, code);
  if (text.size() > limits.bytes)
    bounds.refuse(fmt::format("has {} bytes; at most {} are read", text.size(), limits.bytes));
  json::sax_parse(text.begin(), text.end(), &bounds);
  return json::parse(text.begin(), text.end());
}

}  // namespace kvferry
