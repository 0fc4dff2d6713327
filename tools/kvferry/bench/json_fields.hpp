#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kvferry::cli::bench {

// One value of a JSON document that anybody may have written, and where it is: every read is
// checked. Views the document, which must outlive it.
// Throws: Error{invalid_argument} naming the document, the field, its value and what it should be.
class JsonField {
 public:
  // `where` is empty for the document itself.
  JsonField(const nlohmann::json& value, std::string_view document, std::string where = {});

  JsonField operator[](std::string_view key) const;  // an object's; must be there
  bool has(std::string_view key) const noexcept;     // whether it is an object with that
  bool is_null() const noexcept;
  std::string text(std::size_t max_bytes = 4096) const;
  bool flag() const;
  double number(double low, double high) const;
  std::uint64_t count(std::uint64_t low, std::uint64_t high) const;
  // Calls for each element of an array of at most `max`; returns how many there were.
  std::size_t each(std::size_t max, const std::function<void(const JsonField&)>& use) const;

  // "old.json: figures[3].seconds.median is "x"; it should be ..."
  [[noreturn]] void fail(std::string_view should_be) const;

 private:
  const nlohmann::json* value_;
  std::string_view document_;
  std::string where_;
};

}  // namespace kvferry::cli::bench
