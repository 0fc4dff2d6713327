#include "units.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "kvferry/error.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
constexpr double kMaxGib = 1024.0 * 1024.0;
constexpr double kMaxSeconds = 1000.0 * 3600.0;

struct Number {
  double value = 0;
  std::string_view rest;
};

// A plain decimal number at the start of the text: no sign, exponent, hex, inf or nan.
std::optional<Number> leading_number(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  Number number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number.value,
                                            std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  number.rest = text.substr(static_cast<std::size_t>(end - text.data()));
  return number;
}

// 0: there is no such unit.
double unit_seconds(std::string_view unit) {
  if (unit.empty()) return 1;
  struct Unit {
    std::string_view name;
    double seconds;
  };
  static constexpr std::array<Unit, 6> kUnits{
      {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  for (const Unit& known : kUnits) {
    if (known.name == unit) return known.seconds;
  }
  return 0;
}

}  // namespace

std::uint64_t parse_gib(std::string_view text) {
  const std::optional<Number> number = leading_number(text);
  if (!number || !number->rest.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is not an amount of memory; give GB as a number, such as 4 or 0.5",
                            quote(text)));
  }
  if (number->value > kMaxGib || number->value * kGib < 1) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} GB is out of range; give more than 0 and at most 1048576", quote(text)));
  }
  return static_cast<std::uint64_t>(number->value * kGib);
}

std::chrono::nanoseconds parse_duration(std::string_view text) {
  const std::optional<Number> number = leading_number(text);
  const double unit = number ? unit_seconds(number->rest) : 0;
  if (unit == 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is not a duration; give seconds, or a number and a unit (ns, us, "
                            "ms, s, m, h), such as 30, 30s or 500ms",
                            quote(text)));
  }
  const double seconds = number->value * unit;
  if (seconds > kMaxSeconds || seconds * 1e9 < 1) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{} is out of range; give at least 1ns and at most 1000h", quote(text)));
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::llround(seconds * 1e9)));
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::uint64_t kKib = 1024, kMib = kKib * 1024;
  const double value = static_cast<double>(bytes);
  if (bytes < kKib) return fmt::format("{} B", bytes);
  if (bytes < kMib) {
    if (bytes % kKib == 0) return fmt::format("{} KiB", bytes / kKib);
    return fmt::format("{:.1f} KiB", value / kKib);
  }
  if (value < kGib) return fmt::format("{:.1f} MiB", value / kMib);
  return fmt::format("{:.2f} GiB", value / kGib);
}

std::string format_seconds(double seconds) {
  // Three digits that mean something, whatever the size.
  const auto digits = [](double value, const char* unit) {
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", value, decimals, unit);
  };
  if (seconds < 0.9995e-3) return digits(seconds * 1e6, "us");
  if (seconds < 0.9995) return digits(seconds * 1e3, "ms");
  return digits(seconds, "s");
}

double gb_per_s(std::uint64_t bytes, double s) {
  return s > 0 ? static_cast<double>(bytes) / s / 1e9 : 0;
}

std::string format_rate(double rate) {
  return fmt::format("{:.{}f} GB/s", rate, rate < 9.995 ? 2 : rate < 999.5 ? 1 : 0);
}

std::string format_count(std::uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string counted(std::uint64_t count, std::string_view noun, std::string_view plural) {
  if (count == 1) return fmt::format("1 {}", noun);
  return plural.empty() ? fmt::format("{} {}s", count, noun) : fmt::format("{} {}", count, plural);
}

}  // namespace kvferry::cli
