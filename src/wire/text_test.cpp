#include "wire/text.hpp"

#include <gtest/gtest.h>

namespace kvferry::wire {
namespace {

using std::string_view_literals::operator""sv;

TEST(Name, IsOfAFewCharacters) {
  EXPECT_TRUE(is_name("kv"));
  EXPECT_TRUE(is_name("A.z_0-9"));
  EXPECT_TRUE(is_name(std::string(64, 'x')));
  EXPECT_FALSE(is_name(""));
  EXPECT_FALSE(is_name(std::string(65, 'x')));
  for (const auto bad : {"a b"sv, "a/b"sv, "a\n"sv, "\0"sv, "\xC3\xA9"sv, "a:b"sv})
    EXPECT_FALSE(is_name(bad)) << bad;
}

TEST(CleanText, AcceptsUtf8) {
  for (const auto good : {""sv, "plain ~ text"sv, "\xC3\xA9"sv, "\xE5\xB1\x82"sv,
                          "\xF0\x9F\x9A\xA2"sv, "\xF4\x8F\xBF\xBF"sv, "\xC2\xA0"sv})
    EXPECT_TRUE(is_clean_text(good)) << good;
}

TEST(CleanText, RefusesWhatSteersATerminal) {
  for (int c = 0; c < 0x20; ++c) EXPECT_FALSE(is_clean_text(std::string(1, static_cast<char>(c))));
  EXPECT_FALSE(is_clean_text("\x1B[2J"));
  EXPECT_FALSE(is_clean_text("\x7F"));
  EXPECT_FALSE(is_clean_text("\xC2\x9B"));      // CSI as one character
  EXPECT_FALSE(is_clean_text("\xE2\x80\xA8"));  // line separator
  EXPECT_FALSE(is_clean_text("\xE2\x80\xAE"));  // right-to-left override
  EXPECT_FALSE(is_clean_text("\xE2\x81\xA6"));  // left-to-right isolate
}

TEST(CleanText, RefusesWhatIsNotUtf8) {
  for (const auto bad :
       {"\x80"sv, "\xC3"sv, "\xC3("sv, "\xC0\xAF"sv, "\xE0\x80\xAF"sv, "\xED\xA0\x80"sv,
        "\xF4\x90\x80\x80"sv, "\xF5\x80\x80\x80"sv, "\xFF"sv, "\xF0\x9F\x9A"sv, "ok\xE5\xB1"sv})
    EXPECT_FALSE(is_clean_text(bad)) << testing::PrintToString(bad);
}

TEST(CleanText, AdmitsLineBreaksOnlyWhereAsked) {
  EXPECT_FALSE(is_clean_text("a\n\tb"));
  EXPECT_TRUE(is_clean_text("a\n\tb", LineBreaks::allowed));
  EXPECT_FALSE(is_clean_text("a\rb", LineBreaks::allowed));
}

TEST(Printable, EscapesWhatIsNotClean) {
  EXPECT_EQ(printable("caf\xC3\xA9 ok"), "caf\xC3\xA9 ok");
  EXPECT_EQ(printable("a\x1B[2J\n"), "a\\x1b[2J\\x0a");
  EXPECT_EQ(printable("\xC2\x9B\xFFz"), "\\xc2\\x9b\\xffz");
  EXPECT_EQ(printable("a\0b"sv), "a\\x00b");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abc...");
  EXPECT_EQ(printable("ab\xF0\x9F\x9A\xA2xyz", 7), "ab...");
  EXPECT_EQ(printable("\n\n\n", 8), "\\x0a...");
  EXPECT_EQ(printable("abcd", 3), "...");
}

TEST(Printable, GivesCleanTextWithinItsBoundForAnyBytes) {
  std::string bytes;
  unsigned state = 12345;
  for (int i = 0; i < 3000; ++i) {
    state = state * 1664525u + 1013904223u;
    bytes += static_cast<char>(state >> 24);
    const auto text = printable(bytes, 100);
    ASSERT_LE(text.size(), 100u);
    ASSERT_TRUE(is_clean_text(text)) << text;
    ASSERT_TRUE(is_clean_text(printable(bytes, 100'000)));
  }
}

}  // namespace
}  // namespace kvferry::wire
