#include "completion.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "completion_model.hpp"
#include "option_checks.hpp"
#include "options.hpp"
#include "plan/links.hpp"

namespace kvferry::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const CompletedOption& option_of(const CompletedProgram& program, const std::string& command,
                                 const std::string& name) {
  for (const CompletedCommand& c : program.commands) {
    if (c.name != command) continue;
    for (const CompletedOption& option : c.options) {
      for (const std::string& n : option.names) {
        if (n == name) return option;
      }
    }
  }
  throw std::out_of_range(command + " " + name);
}

class Completion : public testing::Test {
 protected:
  CommandLine line_;
  std::unique_ptr<CLI::App> app_ = make_app(line_);
  CompletedProgram program_ = completion_model(*app_);
};

TEST(FixedWords, are_what_a_type_spells_out) {
  EXPECT_THAT(fixed_words("auto|host|cuda:N"), ElementsAre("auto", "host", "cuda:0"));
  EXPECT_THAT(fixed_words("first|scattered[:SEED]|IDS"), ElementsAre("first", "scattered"));
  EXPECT_THAT(fixed_words("FILE|-"), ElementsAre("-"));
  EXPECT_THAT(fixed_words("N"), IsEmpty());
  EXPECT_THAT(fixed_words("A:B"), IsEmpty());
}

TEST_F(Completion, knows_every_command_and_option_of_the_parser) {
  EXPECT_EQ(program_.commands.size(), 10u);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(*app_, shell);
    for (const CLI::App* sub : app_->get_subcommands([](const CLI::App*) { return true; })) {
      EXPECT_THAT(script, HasSubstr(sub->get_name())) << shell;
      for (const CLI::Option* option : sub->get_options()) {
        if (option->get_positional() || option->get_group() == kHidden) continue;
        const std::string dashes = std::string(shell) == "fish" ? "-l " : "--";
        EXPECT_THAT(script, HasSubstr(dashes + option->get_lnames().front())) << shell;
      }
    }
  }
}

TEST_F(Completion, knows_values_files_and_flags) {
  EXPECT_THAT(option_of(program_, "pull", "--copy").choices,
              ElementsAre("auto", "kernel", "engine"));
  EXPECT_THAT(option_of(program_, "serve", "--dtype").choices, Contains("fp8_e5m2"));
  const auto links = option_of(program_, "plan", "--link").choices;
  EXPECT_EQ(links.size(), planning::all_links().size() + 2);  // and nvlink, all
  for (const std::string& link : links) EXPECT_NO_THROW(planning::parse_links(link)) << link;
  for (const planning::Link& link : planning::all_links()) EXPECT_THAT(links, Contains(link.name));
  EXPECT_TRUE(option_of(program_, "serve", "--model").takes_file);
  EXPECT_TRUE(option_of(program_, "pull", "--json").takes_file);
  EXPECT_TRUE(option_of(program_, "pull", "--socket").takes_file);
  EXPECT_FALSE(option_of(program_, "pull", "--port").takes_file);
  EXPECT_TRUE(option_of(program_, "pull", "--port").takes_value);
  EXPECT_FALSE(option_of(program_, "serve", "--writable").takes_value);
  EXPECT_FALSE(option_of(program_, "serve", "--help").takes_value);
  EXPECT_THAT(program_.commands.back().words, ElementsAre("bash", "zsh", "fish"));
}

class CompletionSyntax : public testing::TestWithParam<const char*> {};

TEST_P(CompletionSyntax, the_shell_accepts_the_script) {
  const std::string shell = GetParam();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  if (std::system(("command -v " + shell + " >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << shell << " is not installed";
  }
  CommandLine line;
  const auto path = std::filesystem::path(testing::TempDir()) /
                    ("kvferry-completion-" + std::to_string(::getpid()) + "." + shell);
  std::ofstream(path) << completion_script(*make_app(line), shell);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  EXPECT_EQ(std::system((shell + " -n " + path.string()).c_str()), 0);
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Shells, CompletionSyntax, testing::Values("bash", "zsh", "fish"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace kvferry::cli
