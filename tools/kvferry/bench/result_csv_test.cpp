#include "bench/result_csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "bench/sample_result.hpp"

namespace kvferry::cli::bench {
namespace {

using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& csv) {
  std::vector<std::string> lines;
  std::istringstream text(csv);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

// Commas outside of quotes.
std::size_t fields_of(const std::string& line) {
  bool quoted = false;
  std::size_t fields = 1;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ',' && !quoted) ++fields;
  }
  return fields;
}

TEST(ResultCsv, OneLineAFigureAndAllOfTheSameWidth) {
  const Result sample = sample_result();
  const auto lines = lines_of(to_csv(sample));
  ASSERT_EQ(lines.size(), sample.figures.size() + 1);
  for (const std::string& line : lines) EXPECT_EQ(fields_of(line), fields_of(lines[0])) << line;
  EXPECT_THAT(lines[1], testing::StartsWith("throughput/nvlink/"));
}

TEST(ResultCsv, NoFiguresIsAHeader) { EXPECT_EQ(lines_of(to_csv(Result{})).size(), 1U); }

TEST(ResultCsv, QuotesWhatWouldBreakALine) {
  Result result = sample_result();
  result.figures.resize(1);
  result.figures[0].note = "one, \"two\"\nthree";
  EXPECT_THAT(to_csv(result), HasSubstr(",\"one, \"\"two\"\"\nthree\"\n"));
}

TEST(ResultCsv, NothingIsAFormula) {
  Result result = sample_result();
  result.figures.resize(1);
  for (const char* note : {"=1+1", "+1", "-1", "@x"}) {
    result.figures[0].note = note;
    EXPECT_THAT(to_csv(result), HasSubstr(std::string(",'") + note + "\n"));
  }
}

TEST(ResultCsv, WhatDoesNotApplyIsEmpty) {
  Result result = sample_result();
  result.figures.resize(1);
  Figure& figure = result.figures[0];
  figure.reference.reset();
  figure.of_reference.reset();
  figure.reference_name.clear();
  figure.note.clear();
  EXPECT_THAT(to_csv(result), testing::EndsWith(",,,,,,1,\n"));
}

}  // namespace
}  // namespace kvferry::cli::bench
