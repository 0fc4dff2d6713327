#include "units.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Units, gb_of_the_options_is_gib) {
  EXPECT_EQ(parse_gib("4"), 4ull << 30);
  EXPECT_EQ(parse_gib("0.125"), 128ull << 20);
  EXPECT_EQ(parse_gib("0.5"), 512ull << 20);
  EXPECT_EQ(parse_gib("1048576"), 1ull << 50);
}

TEST(Units, bad_memory_is_quoted) {
  for (const char* bad : {"", "x", "-1", "+1", "4GB", "nan", "inf", "0x10", "1e3", ".5", " 4"}) {
    EXPECT_THAT(error_of([&] { parse_gib(bad); }), HasSubstr("not an amount of memory")) << bad;
  }
  EXPECT_THAT(error_of([] { parse_gib("4 apples"); }), HasSubstr("\"4 apples\""));
  for (const char* out : {"0", "0.0", "1048577", "99999999999999999999999"}) {
    EXPECT_THAT(error_of([&] { parse_gib(out); }), HasSubstr("out of range")) << out;
  }
}

TEST(Units, durations) {
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("30"), 30s);
  EXPECT_EQ(parse_duration("0.5"), 500ms);
  EXPECT_EQ(parse_duration("500ms"), 500ms);
  EXPECT_EQ(parse_duration("2m"), 2min);
  EXPECT_EQ(parse_duration("1us"), 1us);
  EXPECT_EQ(parse_duration("7ns"), 7ns);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("1000h"), 1000h);
}

TEST(Units, bad_durations_are_quoted) {
  for (const char* bad : {"", "s", "30 s", "30 ", "-1s", "1d", "1e2s", "1.2.3s", "infs"}) {
    EXPECT_THAT(error_of([&] { parse_duration(bad); }), HasSubstr("not a duration")) << bad;
  }
  for (const char* out : {"0", "0s", "0.4ns", "3600001", "1001h", "999999999999s"}) {
    EXPECT_THAT(error_of([&] { parse_duration(out); }), HasSubstr("out of range")) << out;
  }
}

TEST(Units, sizes_are_readable) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(65536), "64 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(160ull << 20), "160.0 MiB");
  EXPECT_EQ(format_bytes(4ull << 30), "4.00 GiB");
}

TEST(Units, times_and_rates_keep_three_digits) {
  EXPECT_EQ(format_seconds(12.3e-6), "12.3 us");
  EXPECT_EQ(format_seconds(9.81e-3), "9.81 ms");
  EXPECT_EQ(format_seconds(0.99999e-3), "1.00 ms");
  EXPECT_EQ(format_seconds(1.2), "1.20 s");
  EXPECT_EQ(format_rate(17.12), "17.1 GB/s");
  EXPECT_EQ(format_rate(1680.4), "1680 GB/s");
  EXPECT_EQ(format_rate(0.48), "0.48 GB/s");
}

TEST(Units, a_rate_is_decimal_and_never_divides_by_zero) {
  EXPECT_DOUBLE_EQ(gb_per_s(2'000'000'000, 0.5), 4);
  EXPECT_DOUBLE_EQ(gb_per_s(1, 0), 0);
}

TEST(Units, counts_have_commas) {
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(65536), "65,536");
  EXPECT_EQ(format_count(1234567), "1,234,567");
}

TEST(Counted, knows_one_from_many) {
  EXPECT_EQ(counted(1, "block"), "1 block");
  EXPECT_EQ(counted(0, "block"), "0 blocks");
  EXPECT_EQ(counted(5242, "block"), "5242 blocks");
  EXPECT_EQ(counted(2, "push", "pushes"), "2 pushes");
}

}  // namespace
}  // namespace kvferry::cli
