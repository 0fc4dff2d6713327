#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

// JSON from strangers: read only where it is small, flat and well formed.
namespace kvferry::registry {

inline constexpr int kMaxJsonDepth = 16;

// `what` begins the message. Throws: Error{refused} for a text that is longer or nested deeper than
// allowed, or no JSON object.
nlohmann::json parse_object(std::string_view text, std::size_t max_bytes, std::string_view what);

// Fields of an object, each with the range it must be in. Throws: Error{refused} naming the field.
class Fields {
 public:
  // Borrows both.
  Fields(const nlohmann::json& object, std::string_view what);
  bool has(const char* name) const { return object_.contains(name); }
  std::uint64_t number(const char* name, std::uint64_t low, std::uint64_t high) const;
  bool flag(const char* name) const;
  // Clean text: nothing in it can steer a terminal.
  std::string text(const char* name, std::size_t max_bytes) const;
  const nlohmann::json& list(const char* name, std::size_t max_entries) const;
  Fields object(const char* name) const;
  [[noreturn]] void fail(std::string_view name, std::string_view why) const;

 private:
  const nlohmann::json& at(const char* name) const;

  const nlohmann::json& object_;
  std::string what_;
};

}  // namespace kvferry::registry
