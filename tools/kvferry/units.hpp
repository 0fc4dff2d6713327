#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

// Amounts as people write and read them. GB in options means GiB (2^30 bytes), as in the example
// the project grew from; GB/s in results means 10^9 bytes a second, as vendors count links.
namespace kvferry::cli {

// "4", "0.125": GiB, more than 0 and at most 1,048,576; rounded down to bytes.
// Throws: Error{invalid_argument} quoting the text.
std::uint64_t parse_gib(std::string_view text);

// "30s", "500ms", "1.5m": a number and one of ns, us, ms, s, m, h; "30": seconds. From 1 ns to
// 1000 h.
// Throws: Error{invalid_argument} quoting the text.
std::chrono::nanoseconds parse_duration(std::string_view text);

std::string format_bytes(std::uint64_t bytes);   // "64 KiB", "160.0 MiB", "4.00 GiB"
std::string format_seconds(double seconds);      // "12.3 us", "9.81 ms", "1.20 s"
double gb_per_s(std::uint64_t bytes, double s);  // 0 where no time passed
std::string format_rate(double gb_per_s);        // "17.1 GB/s"
std::string format_count(std::uint64_t count);   // "65,536"
// "1 block", "16 blocks"; `plural` where it is not the noun and an s.
std::string counted(std::uint64_t count, std::string_view noun, std::string_view plural = {});

}  // namespace kvferry::cli
