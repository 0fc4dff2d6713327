#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kvferry::shape {

// Parses the text of a config.json. The text is untrusted: at most 16 MiB, 64 levels and a million
// values, so that no input costs more than some tens of MiB.
// Throws: Error{invalid_argument} saying where it stops being JSON, or which bound it breaks.
nlohmann::json parse_config(std::string_view text);

// One JSON object seen as typed fields. A view: the json must outlive it. Every error names the
// field by its full path and the value it has.
class ConfigFields {
 public:
  // `path` is put before field names in messages, e.g. "text_config.".
  // Requires: `object` is a JSON object.
  ConfigFields(const nlohmann::json& object, std::string path)
      : object_(&object), path_(std::move(path)) {}

  // Present at all, null included.
  bool contains(std::string_view name) const;
  // Present and not null.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The value; nullptr where it is absent or null.
  const nlohmann::json* find(std::string_view name) const;

  // A whole number from 1 to `most`; nullopt where absent or null.
  // Throws: Error{invalid_argument}.
  std::optional<std::uint32_t> count(std::string_view name, std::uint32_t most) const;
  // The same, but absent and null are errors as well.
  std::uint32_t required_count(std::string_view name, std::uint32_t most) const;
  // A string; nullopt where absent or null. Throws: Error{invalid_argument}.
  std::optional<std::string> text(std::string_view name) const;
  // Throws: Error{invalid_argument} when it is there and neither true nor false.
  std::optional<bool> flag(std::string_view name) const;
  // The object in a field; nullopt where absent or null. Throws: Error{invalid_argument}.
  std::optional<ConfigFields> object(std::string_view name) const;

  // Throws: Error{invalid_argument} "model config: PATH.NAME PROBLEM".
  [[noreturn]] void fail(std::string_view name, std::string_view problem) const;
  // The same, for a field whose value is the problem: "is VALUE, but must be EXPECTED".
  [[noreturn]] void fail_value(std::string_view name, std::string_view expected) const;

 private:
  const nlohmann::json* object_;
  std::string path_;
};

// A value as a message shows it: short, ASCII, whatever it was.
std::string show(const nlohmann::json& value);

}  // namespace kvferry::shape
