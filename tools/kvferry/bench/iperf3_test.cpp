#include "bench/iperf3.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

TEST(Iperf3, the_rate_that_arrived_counts) {
  const char* report = R"({"start": {}, "end": {"sum_sent": {"bits_per_second": 9e9},
                           "sum_received": {"bytes": 5, "bits_per_second": 8e9}}})";
  EXPECT_DOUBLE_EQ(iperf3_seconds(report, 2'000'000'000), 2);
}

TEST(Iperf3, its_words_are_passed_on) {
  for (const auto& [report, words] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"start": {}, "end": {}, "error": "unable to connect"})", "unable to connect"},
           {R"({"end": {"sum_received": {"bits_per_second": 0}}})", "bits_per_second"},
           {R"({"end": 3})", "end"},
           {"iperf3: unrecognized option", "unrecognized"},
           {"", "no rate"}}) {
    try {
      iperf3_seconds(report, 1000);
      ADD_FAILURE() << report;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::resource);
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
    }
  }
}

}  // namespace
}  // namespace kvferry::cli::bench
