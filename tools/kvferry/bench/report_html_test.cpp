#include "bench/report_html.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "bench/page_parts.hpp"
#include "bench/result_json.hpp"
#include "bench/sample_result.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++times;
  return times;
}

// What stands in the page's element of data.
std::string data_of(const std::string& page) {
  const std::string_view start = "<script type=\"application/json\" id=\"data\">";
  const std::size_t from = page.find(start) + start.size();
  return page.substr(from, page.find("</script>", from) - from);
}

class Html : public testing::Test {
 protected:
  void SetUp() override {
    if (!html_refusal().empty()) GTEST_SKIP() << html_refusal();
  }
};

TEST(HtmlWithoutChartJs, IsRefusedWithTheReason) {
  if (html_refusal().empty()) GTEST_SKIP() << "this program has Chart.js";
  try {
    to_html(sample_result());
    FAIL() << "it wrote a page";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    EXPECT_THAT(error.what(), HasSubstr("libjs-chart.js"));
  }
}

TEST_F(Html, HasEverythingInItAndAsksForNothing) {
  const std::string page = to_html(sample_result());
  EXPECT_THAT(page, testing::StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("Chart.js v3."));
  EXPECT_THAT(page, HasSubstr("Permission is hereby granted, free of charge"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* outside : {" src=", "<link", "@import", "url(", "<iframe", "<img"}) {
    const std::string without_chart = page.substr(0, page.find("Chart.js v3.")) +
                                      std::string(page_js()) + std::string(page_css());
    EXPECT_THAT(without_chart, Not(HasSubstr(outside)));
  }
  for (const char* name : {"@CSS@", "@DATA@", "@CHART_JS@", "@PAGE_JS@"}) {
    EXPECT_EQ(count(page, name), 0U) << name;
  }
}

TEST_F(Html, ItsDataIsTheResult) {
  const Result sample = sample_result();
  EXPECT_EQ(to_json(from_json(data_of(to_html(sample)), "the page")), to_json(sample));
}

TEST_F(Html, NoTextOfAResultBreaksOut) {
  Result result = sample_result();
  const std::string attack =
      "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & ]]> "
      "\xe2\x80\xa8\xe2\x80\xa9 \"'\\ @PAGE_JS@";
  result.machine.host = result.machine.gpus[0].name = result.command = attack;
  result.figures[0].note = result.figures[0].method = result.figures[0].work.from = attack;
  result.skipped[0].why = attack;
  const std::string page = to_html(result), plain = to_html(sample_result());
  EXPECT_EQ(count(page, "<script"), count(plain, "<script"));
  EXPECT_EQ(count(page, "</script"), count(plain, "</script"));
  EXPECT_EQ(count(page, "<!--"), count(plain, "<!--"));
  EXPECT_EQ(count(page, "onerror=alert"), count(data_of(page), "onerror=alert"));
  EXPECT_EQ(data_of(page).find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(data_of(page).find("\xe2\x80"), std::string::npos);
  // And it is still the same text.
  EXPECT_EQ(from_json(data_of(page), "the page").machine.host, attack);
}

TEST_F(Html, NothingMeasured) { EXPECT_THAT(to_html(Result{}), HasSubstr("\"figures\": []")); }

}  // namespace
}  // namespace kvferry::cli::bench
