#include "usage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "options.hpp"

namespace kvferry::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message_of(const std::vector<std::string>& arguments) {
  CommandLine line;
  const auto app = make_app(line);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app->parse(reversed);
  } catch (const CLI::ParseError& error) {
    const UsageError usage = explain_usage(*app, error, arguments);
    return usage.program + ": " + usage.message;
  }
  return "ok";
}

TEST(Usage, says_what_is_wrong) {
  EXPECT_EQ(message_of({"pull", "--cuont", "5"}),
            "kvferry pull: unknown option --cuont; did you mean --count?");
  EXPECT_EQ(message_of({"pull", "--colour", "red"}), "kvferry pull: unknown option --colour");
  EXPECT_EQ(message_of({"pull", "--count=3", "--prot=1", "--cuont"}),
            "kvferry pull: unknown option --prot; did you mean --port?");
  EXPECT_EQ(message_of({"pull", "5"}), "kvferry pull: unexpected argument \"5\"");
  EXPECT_EQ(message_of({"pull", "--count"}), "kvferry pull: --count needs a value");
  EXPECT_EQ(message_of({"pull", "--count", "1", "--count", "2"}),
            "kvferry pull: --count was given twice");
  // The help of explain does not show it, and the parser does not name what has no place there.
  EXPECT_EQ(message_of({"explain", "--available-memory", "1", "--available-memory=2"}),
            "kvferry explain: --available-memory was given twice");
  EXPECT_EQ(message_of({"explain", "--available-memory"}),
            "kvferry explain: --available-memory needs a value");
  EXPECT_EQ(message_of({}),
            "kvferry: a command is required: serve, pull, push, explain, peers, bench, doctor, "
            "plan, keygen, completion");
  EXPECT_THAT(message_of({"fetch"}), HasSubstr("\"fetch\" is not a command"));
  EXPECT_EQ(message_of({"--vresion"}),
            "kvferry: unknown option --vresion; did you mean --version?");
  EXPECT_THAT(message_of({"pull", "--\x1b[31m"}), HasSubstr("\\x1b"));
}

TEST(Usage, help_is_a_command_too) {
  CommandLine line;
  const auto app = make_app(line);
  EXPECT_THAT(expand_help(*app, {"help", "fetch"}), ElementsAre("fetch"));
  EXPECT_THAT(expand_help(*app, {"help"}), ElementsAre("--help"));
  EXPECT_THAT(expand_help(*app, {"help", "pull"}), ElementsAre("pull", "--help"));
  EXPECT_THAT(expand_help(*app, {"help", "help"}), ElementsAre("--help"));
  EXPECT_THAT(expand_help(*app, {"pull", "help"}), ElementsAre("pull", "help"));
}

TEST(Usage, edit_distance) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("cuont", "count"), 1u);
  EXPECT_EQ(edit_distance("cont", "count"), 1u);
  EXPECT_EQ(edit_distance("blocks", "clock"), 2u);
}

}  // namespace
}  // namespace kvferry::cli
