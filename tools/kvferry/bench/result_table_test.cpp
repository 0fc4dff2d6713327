#include "bench/result_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "bench/sample_result.hpp"

namespace kvferry::cli::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ResultTable, IsNoWiderThanATerminalAndEveryFigureIsInIt) {
  const Result sample = sample_result();
  const std::string text = result_table(sample);
  std::istringstream lines(text);
  std::size_t rows = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 120U) << line;
    if (line.starts_with("    ") && line.find(" x 40") != std::string::npos) ++rows;
  }
  EXPECT_EQ(rows, sample.figures.size());
  for (const char* part :
       {"NVIDIA H200", "driver 580.82.07", "\nThroughput\n", "SM budgets", "p99.9",
        "nvlink, cuda:1 -> cuda:0; reference: contiguous cudaMemcpyAsync", "reference: 1 client",
        "\nSkipped\n", "64 clients, 8 proc.", "65520 B x 64 x 40", "no copy to compare with",
        "(0123456789ab)"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_NE(text.back(), '\n');
}

TEST(ResultTable, OneFigure) {
  Result result = sample_result();
  result.figures.resize(1);
  Figure& figure = result.figures[0];
  figure.ours.median = 467.3e-6;
  figure.ours.p99 = 480e-6;
  figure.gb_per_s = 359.02;
  ASSERT_TRUE(figure.reference.has_value());
  figure.reference->median = 432.6e-6;
  figure.of_reference = {0.9257, {0.9191, 0.931}};
  EXPECT_THAT(
      result_table(result),
      HasSubstr("    what            method              size              median  GB/s  ref.  "
                "% of ref. [95 %]      p99\n"
                "  nvlink, cuda:1 -> cuda:0; reference: contiguous cudaMemcpyAsync\n"
                "    pull scattered  kernel tma, 24 SMs  64 KiB x 64 x 40  467 us   359   388  "
                "92.6 [91.9, 93.1]  480 us\n"));
}

TEST(ResultTable, NotesAreSharedAndWhatWasNotVerifiedIsSaid) {
  Result result = sample_result();
  result.figures.resize(3);
  for (Figure& figure : result.figures) figure.note = "the same";
  result.figures[1].verified = false;
  const std::string text = result_table(result);
  EXPECT_THAT(text, HasSubstr("  [1] the same\n  [2] the bytes of this one were not verified"));
  EXPECT_THAT(text, HasSubstr("[2][1]\n"));
  EXPECT_THAT(text, Not(HasSubstr("[3]")));
}

TEST(ResultTable, SaysWhenItIsNotTheWhole) {
  Result result = sample_result();
  EXPECT_THAT(result_table(result), Not(HasSubstr("interrupted")));
  result.quick = result.interrupted = true;
  EXPECT_THAT(result_table(result), HasSubstr("--quick: few repetitions"));
  EXPECT_THAT(result_table(result), HasSubstr("interrupted: these are the figures"));
  result.figures.clear();
  EXPECT_THAT(result_table(result), HasSubstr("nothing was measured"));
}

TEST(ResultTable, ATerminalIsNotSteered) {
  Result result = sample_result();
  result.machine.host = "a\x1b[2J";
  result.figures[0].note = "b\x1b]0;x\x07";
  result.figures[0].method = "c\r\n";
  result.skipped[0].why = "d\x9b";
  const std::string text = result_table(result);
  EXPECT_EQ(text.find_first_of("\x1b\x07\r"), std::string::npos);
}

TEST(ResultTable, NothingAtAll) {
  EXPECT_THAT(result_table(Result{}), HasSubstr("nothing was measured"));
}

}  // namespace
}  // namespace kvferry::cli::bench
