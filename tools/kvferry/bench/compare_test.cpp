#include "bench/compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/result_json.hpp"
#include "bench/sample_result.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Result run_of(double slower, std::uint32_t seed) { return SampleResult(slower, seed).make(); }

std::ptrdiff_t count(const Comparison& comparison, Change verdict) {
  return std::count_if(comparison.pairs.begin(), comparison.pairs.end(),
                       [&](const Pair& pair) { return pair.verdict == verdict; });
}

TEST(Compare, ARunWithItself) {
  const Result run = sample_result();
  const Comparison comparison = compare(run, run);
  EXPECT_EQ(comparison.pairs.size(), run.figures.size());
  EXPECT_EQ(count(comparison, Change::same), static_cast<std::ptrdiff_t>(run.figures.size()));
  EXPECT_FALSE(comparison.any_slower());
  EXPECT_THAT(comparison.only_before, IsEmpty());
  EXPECT_THAT(comparison.only_after, IsEmpty());
  EXPECT_THAT(comparison.warnings, IsEmpty());
}

TEST(Compare, NoiseIsNoChange) {
  const Result before = run_of(1, 1), after = run_of(1, 2);
  const Comparison comparison = compare(before, after);
  EXPECT_EQ(count(comparison, Change::slower), 0);
  EXPECT_EQ(count(comparison, Change::faster), 0);
}

TEST(Compare, FindsExactlyWhatIsSlower) {
  const Result before = run_of(1, 1), after = run_of(1.1, 2);
  const Comparison comparison = compare(before, after);
  EXPECT_TRUE(comparison.any_slower());
  for (const Pair& pair : comparison.pairs) {
    const Work& work = pair.after->work;
    // The sample scales the posting figures to their times afterwards.
    const bool slower =
        work.link == "nvlink" && work.direction == "pull" && work.group != Group::posting;
    if (work.group == Group::clients) continue;
    EXPECT_EQ(pair.verdict, slower ? Change::slower : Change::same) << work.key();
    EXPECT_NEAR(pair.change, slower ? 0.1 : 0, 0.02) << work.key();
  }
  const Comparison back = compare(after, before);
  EXPECT_FALSE(back.any_slower());
  EXPECT_GT(count(back, Change::faster), 0);
}

TEST(Compare, CannotTellFromTwoSamples) {
  Result before = run_of(1, 1), after = run_of(1.5, 1);
  for (Figure& figure : before.figures) figure.ours.count = 2;
  const Comparison comparison = compare(before, after);
  EXPECT_EQ(count(comparison, Change::unknown), static_cast<std::ptrdiff_t>(before.figures.size()));
  EXPECT_FALSE(comparison.any_slower());
  EXPECT_THAT(comparison_table(comparison), HasSubstr("too few samples"));
}

TEST(Compare, WhatOnlyOneRunHas) {
  Result before = sample_result(), after = sample_result();
  before.figures.erase(before.figures.begin());
  after.figures.erase(after.figures.begin() + 1);
  after.figures.push_back(after.figures.back());  // one work twice: the second has no partner
  const Comparison comparison = compare(before, after);
  ASSERT_EQ(comparison.only_before.size(), 1U);
  ASSERT_EQ(comparison.only_after.size(), 2U);
  EXPECT_EQ(comparison.only_after[0]->work.key(), after.figures[0].work.key());
  const std::string text = comparison_table(comparison);
  EXPECT_THAT(text, HasSubstr("Only before\n  " + comparison.only_before[0]->work.key()));
  EXPECT_THAT(text, HasSubstr("Only now\n  " + comparison.only_after[0]->work.key()));
}

TEST(Compare, WarnsOfOtherHardwareDriverAndBuild) {
  const Result before = sample_result();
  Result after = before;
  after.machine.driver = "590.1";
  after.machine.gpus.pop_back();
  after.machine.gpus[0].mps = true;
  after.build = "0.1.0, without CUDA";
  after.quick = true;
  const std::string text = comparison_table(compare(before, after));
  EXPECT_THAT(text, HasSubstr("note: the driver differs: 580.82.07 before, 590.1 now\n"));
  EXPECT_THAT(text, HasSubstr("note: the GPUs differ: NVIDIA H200, NVIDIA H200 before, NVIDIA H200 "
                              "under MPS now\n"));
  EXPECT_THAT(text, HasSubstr("note: the build differs: "));
  EXPECT_THAT(text, HasSubstr("note: --quick was given now\n"));
  EXPECT_THAT(text, Not(HasSubstr("the host differs")));
}

TEST(Compare, TheTableIsNoWiderThanATerminal) {
  const Result before = run_of(1, 1), after = run_of(1.1, 2);
  std::istringstream lines(comparison_table(compare(before, after)));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120U) << line;
}

class RunCompare : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(directory_); }
  void TearDown() override {
    std::fclose(text_);
    std::filesystem::remove_all(directory_);
  }
  std::string file(const char* name, const std::string& text) const {
    const std::filesystem::path path = directory_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  std::string refusal(const std::string& a, const std::string& b) {
    try {
      run_compare(a, b, out_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.what();
    }
    return "it was taken";
  }
  std::string said() {
    EXPECT_EQ(std::fseek(text_, 0, SEEK_SET), 0);
    std::string text(std::size_t{1} << 18, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), text_));
    return text;
  }

  std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("kvferry-compare-" + std::to_string(::getpid()));
  std::FILE* text_ = std::tmpfile();
  Output out_{text_};
};

TEST_F(RunCompare, ItsExitCodeIsForScripts) {
  const std::string fast = file("fast.json", to_json(run_of(1, 1)));
  const std::string slow = file("slow.json", to_json(run_of(1.1, 2)));
  EXPECT_EQ(run_compare(fast, fast, out_), 0);
  EXPECT_EQ(run_compare(slow, fast, out_), 0);
  EXPECT_EQ(run_compare(fast, slow, out_), 1);
  EXPECT_THAT(said(), HasSubstr("SLOWER"));
}

TEST_F(RunCompare, FilesThatAreNone) {
  const std::string good = file("good.json", to_json(sample_result()));
  EXPECT_THAT(refusal(good, (directory_ / "none.json").string()),
              HasSubstr("none.json\": No such file"));
  EXPECT_THAT(refusal(directory_.string(), good), HasSubstr("Is a directory"));
  EXPECT_THAT(refusal(file("bad.json", "{"), good), HasSubstr("bad.json\": is not valid JSON"));
  EXPECT_THAT(refusal(good, file("pull.json", "{\"command\": \"pull\"}")),
              HasSubstr("this is no result of kvferry bench"));
  EXPECT_THAT(refusal("/dev/zero", good), HasSubstr("at most 16777216 are read"));
}

}  // namespace
}  // namespace kvferry::cli::bench
