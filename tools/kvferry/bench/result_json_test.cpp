#include "bench/result_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "bench/sample_result.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Json sample_json() { return Json::parse(to_json(sample_result())); }

std::string refusal(const std::string& text) {
  try {
    from_json(text, "old.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "it was taken";
}

// What is said about the sample with one value replaced.
std::string refusal_with(const std::string& pointer, const Json& value) {
  Json json = sample_json();
  json[Json::json_pointer(pointer)] = value;
  return refusal(json.dump());
}

TEST(ResultJson, ReadsWhatItWrote) {
  const std::string text = to_json(sample_result());
  EXPECT_EQ(to_json(from_json(text, "a")), text);
  EXPECT_EQ(to_json(from_json(to_json(Result{}), "a")), to_json(Result{}));
}

TEST(ResultJson, KeepsEveryBitOfATime) {
  Result result = sample_result();
  const Figure& figure = result.figures.at(3);
  const Result read = from_json(to_json(result), "a");
  EXPECT_EQ(read.figures.at(3).ours.median, figure.ours.median);
  EXPECT_EQ(read.figures.at(3).ours.median_ci, figure.ours.median_ci);
  const auto& ratio = read.figures.at(3).of_reference;
  ASSERT_TRUE(ratio && figure.of_reference);
  EXPECT_EQ(ratio->median, figure.of_reference->median);
  EXPECT_EQ(read.figures.at(3).work.key(), figure.work.key());
}

TEST(ResultJson, FiguresWithoutAReferenceSayNull) {
  const Json json = sample_json();
  for (const Json& figure : json["figures"]) {
    if (figure["group"] != "posting") continue;
    EXPECT_TRUE(figure["reference"].is_null());
    EXPECT_TRUE(figure["of_reference"].is_null());
    EXPECT_FALSE(figure["cdf"].empty());
    return;
  }
  FAIL() << "no figure of posting";
}

TEST(ResultJson, WhatIsNoUtf8CostsOnlyItself) {
  Result result;
  result.machine.host = "h\xff";
  EXPECT_EQ(from_json(to_json(result), "a").machine.host, "h\xef\xbf\xbd");
}

TEST(ResultJson, PassesOverKeysOfLaterVersions) {
  Json json = sample_json();
  json["later"] = {{"x", {1, 2, 3}}};
  json["figures"][0]["later"] = 1;
  EXPECT_EQ(to_json(from_json(json.dump(), "a")), to_json(sample_result()));
}

TEST(ResultJson, ReadsFilesOfBeforeThereWereNetworks) {
  Json json = sample_json();
  for (Json& figure : json["figures"]) {
    figure.erase("streams");
    figure.erase("wire");
  }
  const Result read = from_json(json.dump(), "old.json");
  ASSERT_FALSE(read.figures.empty());
  EXPECT_EQ(read.figures[0].work.key(), sample_result().figures[0].work.key());
  for (const Figure& figure : read.figures) EXPECT_EQ(figure.work.streams, 0u);
  EXPECT_EQ(refusal_with("/figures/0/streams", "x"),
            "old.json: figures[0].streams is \"x\"; it should be a whole number from 0 to "
            "4294967295");
}

TEST(ResultJson, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(refusal_with("/figures/3/seconds/median", "x"),
            "old.json: figures[3].seconds.median is \"x\"; it should be a number from " +
                Json(sample_json()["figures"][3]["seconds"]["min"]).dump() + " to " +
                Json(sample_json()["figures"][3]["seconds"]["max"]).dump());
  EXPECT_EQ(refusal_with("/figures/0/group", "speed"),
            "old.json: figures[0].group is \"speed\"; it should be one of throughput, blocks, sms, "
            "latency, posting, clients, tcp, ucx");
  EXPECT_EQ(refusal_with("/machine/gpus/1/sms", -1),
            "old.json: machine.gpus[1].sms is -1; it should be a whole number from 0 to "
            "4294967295");
  EXPECT_EQ(refusal_with("/quick", 1), "old.json: quick is 1; it should be true or false");
  EXPECT_EQ(refusal_with("/machine", {1, 2}),
            "old.json: machine is a list of 2; it should be an object");
  Json json = sample_json();
  json["figures"][1].erase("verified");
  EXPECT_EQ(refusal(json.dump()), "old.json: figures[1].verified is missing");
}

TEST(ResultJson, RefusesWhatIsNoResult) {
  EXPECT_THAT(refusal(""), HasSubstr("old.json: is not valid JSON at byte 1"));
  EXPECT_THAT(refusal("{\"command\": \"bench\"} x"), HasSubstr("is not valid JSON"));
  EXPECT_EQ(refusal("[]"), "old.json: the document is a list of 0; it should be an object");
  EXPECT_EQ(refusal("{}"), "old.json: command is missing");
  EXPECT_THAT(refusal_with("/command", "pull"), HasSubstr("this is no result of kvferry bench"));
  EXPECT_THAT(refusal_with("/schema", 2), HasSubstr("schema is 2; it should be"));
  EXPECT_THAT(refusal("{\"schema\": 1e999}"), HasSubstr("the number is too large"));
}

TEST(ResultJson, RefusesValuesThatCannotBeMeant) {
  for (const auto& [pointer, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"/figures/0/seconds/count", 0},
           {"/figures/0/seconds/min", -1.0},
           {"/figures/0/seconds/min", 5.0},
           {"/figures/0/seconds/p99", 0.0},
           {"/figures/0/seconds/median_ci", {1, 2}},
           {"/figures/0/seconds/median_ci", {0}},
           {"/figures/0/seconds/median_ci", {0, 1, 2}},
           {"/figures/0/seconds/max", nullptr},
           {"/figures/0/of_reference/ci", {0.0, 0.1}},
           {"/figures/0/block_bytes", 0},
           {"/figures/0/block_bytes", std::uint64_t{1} << 60},
           {"/figures/0/blocks", 4'294'967'296},
           {"/figures/0/blocks", 1.5},
           {"/figures/0/clients", 0},
           {"/figures/0/cdf", {{0.5, 1}, {0.4, 2}}},
           {"/figures/0/cdf", {{0.5, 1}, {0.6, 0.5}}},
           {"/figures/0/cdf", {{1.5, 1}}},
           {"/figures/0/cdf", {{0.5}}},
           {"/figures/0/note", std::string(5000, 'x')},
           {"/figures", Json::object()},
           {"/skipped/0", "x"}}) {
    EXPECT_THAT(refusal_with(pointer, value), HasSubstr("; it should be"))
        << pointer << " = " << value;
  }
}

TEST(ResultJson, IsBounded) {
  EXPECT_THAT(refusal(std::string(17 << 20, ' ')), HasSubstr("at most 16777216 are read"));
  EXPECT_THAT(refusal(std::string(1 << 20, '[')), HasSubstr("nested more than 16 levels"));
  std::string many = "[0";
  for (int i = 0; i < 1'000'001; ++i) many += ",0";
  EXPECT_THAT(refusal(many + "]"), HasSubstr("more than 1000000 values"));
  EXPECT_THAT(refusal_with("/figures", Json(20'000, 0)), HasSubstr("a list of at most 10000"));
}

// An error of a file full of escape sequences must not steer the terminal it is shown in.
TEST(ResultJson, QuotesWhatItRefuses) {
  const std::string text = refusal_with("/figures/0/group", "\x1b[31m");
  EXPECT_THAT(text, HasSubstr("\\x1b[31m"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace kvferry::cli::bench
