#include "report.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace kvferry::cli {
namespace {

using Json = nlohmann::json;

TransferReport transfer(double seconds) {
  TransferReport report;
  report.path = "host_shm";
  report.method = "streaming";
  report.bytes = 2'000'000'000;
  report.total_s = seconds;
  return report;
}

TEST(Rates, of_odd_and_even_counts) {
  const std::vector<TransferReport> three{transfer(1), transfer(2), transfer(0.5)};
  const Rates odd = rates_of(three);
  EXPECT_DOUBLE_EQ(odd.min, 1);
  EXPECT_DOUBLE_EQ(odd.median, 2);
  EXPECT_DOUBLE_EQ(odd.max, 4);
  EXPECT_DOUBLE_EQ(rates_of(std::vector{transfer(1), transfer(0.5)}).median, 3);
}

TEST(ReportJson, of_a_pull) {
  MoveOptions options;
  RunReport report;
  report.command = "pull";
  report.options = report.move = &options;
  report.geometry = Geometry{CacheShape{}, 1638};
  report.transfers = {transfer(1), transfer(0.5)};
  report.verification.transfers = 2;
  const Json json = Json::parse(to_json(report));
  EXPECT_EQ(json.at("schema"), 1);
  EXPECT_EQ(json.at("geometry").at("block_bytes"), 65536);
  EXPECT_EQ(json.at("transfers").size(), 2u);
  EXPECT_DOUBLE_EQ(json.at("transfers").at(1).at("gb_per_s"), 4);
  EXPECT_DOUBLE_EQ(json.at("summary").at("gb_per_s").at("median"), 3);
  EXPECT_TRUE(json.at("verification").at("checked"));
  EXPECT_EQ(json.at("exit_code"), 0);
  EXPECT_TRUE(json.at("error").is_null());
}

TEST(ReportJson, of_a_failure_before_anything_moved) {
  MoveOptions options;
  RunReport report;
  report.command = "push";
  report.options = report.move = &options;
  report.failure = Failure{"unreachable", 3, "nobody there: \xff"};
  const Json json = Json::parse(to_json(report));
  EXPECT_EQ(json.at("error").at("code"), "unreachable");
  EXPECT_EQ(json.at("exit_code"), 3);
  EXPECT_TRUE(json.at("transfers").empty());
  EXPECT_TRUE(json.at("summary").at("gb_per_s").is_null());
  EXPECT_FALSE(json.at("verification").at("checked"));
  EXPECT_TRUE(json.at("geometry").is_null());
}

TEST(ReportJson, a_transfer_that_failed_verification_is_listed_but_not_summed_up) {
  MoveOptions options;
  RunReport report;
  report.options = report.move = &options;
  report.transfers = {transfer(1), transfer(0.5)};
  report.last_is_unverified = true;
  const Json json = Json::parse(to_json(report));
  EXPECT_EQ(json.at("transfers").size(), 2u);
  EXPECT_EQ(json.at("summary").at("transfers"), 1);
  EXPECT_DOUBLE_EQ(json.at("summary").at("gb_per_s").at("max"), 2);
}

}  // namespace
}  // namespace kvferry::cli
