#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quote.hpp"

namespace kvferry::cli {

// The group of options that are neither in the help nor in completion. It has a name because the
// parser leaves an option without a group unnamed in its messages.
inline constexpr const char* kHidden = "hidden";

struct Bounds {
  std::uint64_t low = 0, high = 0;
};

// Why the text is not a whole number within bounds; empty: it is. Checked before CLI11 converts it,
// which would take 010 for 8 and -1 for a very large number.
inline std::string whole_number_error(const std::string& text, Bounds bounds) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (text.empty() || stop != end || leading_zero || error == std::errc::invalid_argument) {
    return quote(text) + " is not a whole number";
  }
  if (error != std::errc{} || value < bounds.low || value > bounds.high) {
    return fmt::format("{} is out of range; give {} to {}", quote(text), bounds.low, bounds.high);
  }
  return {};
}

template <typename T>
CLI::Option* number(CLI::App& app, const char* name, T& value, Bounds bounds, const char* text) {
  const auto check = [bounds](const std::string& given) {
    return whole_number_error(given, bounds);
  };
  return app.add_option(name, value, text)->type_name("N")->check(CLI::Validator(check, ""));
}

// An empty text is what an unset shell variable leaves: a mistake, not "the default".
inline CLI::Validator not_empty() {
  const auto check = [](const std::string& given) -> std::string {
    return given.empty() ? "the value is empty; leave the option out for its default" : "";
  };
  return {check, ""};
}

// "auto|kernel|engine" -> its words.
inline std::vector<std::string> split_choices(std::string_view choices) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= choices.size();) {
    const std::size_t bar = std::min(choices.find('|', at), choices.size());
    words.emplace_back(choices.substr(at, bar - at));
    at = bar + 1;
  }
  return words;
}

// An option that takes one of a few words; the words are its type in the help and in completion.
template <typename T>
CLI::Option* choice(CLI::App& app, const char* name, T& value, const std::string& choices,
                    const char* text) {
  const auto check = [choices](const std::string& given) -> std::string {
    for (const std::string& word : split_choices(choices)) {
      if (word == given) return {};
    }
    return fmt::format("{} is not one of {}", quote(given),
                       fmt::join(split_choices(choices), ", "));
  };
  return app.add_option(name, value, text)->type_name(choices)->check(CLI::Validator(check, ""));
}

}  // namespace kvferry::cli
