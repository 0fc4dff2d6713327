#include "options.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "help.hpp"
#include "option_checks.hpp"

namespace kvferry::cli {
namespace {

using testing::HasSubstr;

// The message of the usage error, or "ok".
std::string parse(const std::string& text, CommandLine& line) {
  const auto app = make_app(line);
  try {
    app->parse(text);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "ok";
}

std::string parse(const std::string& text) {
  CommandLine line;
  return parse(text, line);
}

TEST(Options, defaults_are_the_examples) {
  CommandLine line;
  ASSERT_EQ(parse("pull", line), "ok");
  EXPECT_EQ(line.command, CommandLine::Command::pull);
  EXPECT_EQ(line.pull.endpoint.ip, "127.0.0.1");
  EXPECT_EQ(line.pull.endpoint.port, 5555);
  EXPECT_EQ(line.pull.geometry.available_memory, "4");
  EXPECT_EQ(line.pull.count, 1u);
  EXPECT_FALSE(line.pull.input_tokens.has_value());
  EXPECT_FALSE(line.pull.geometry.heads.has_value());
  EXPECT_FALSE(line.pull.debug);
}

TEST(Options, servers_by_name) {
  CommandLine line;
  ASSERT_EQ(parse("pull --from a,b --registry etcd://h", line), "ok");
  EXPECT_EQ(line.pull.endpoint.servers, "a,b");
  EXPECT_EQ(line.pull.endpoint.registry.url, "etcd://h");
  ASSERT_EQ(parse("push --to a --registry etcds://h:1", line), "ok");
  EXPECT_EQ(line.push.endpoint.servers, "a");
  EXPECT_STREQ(line.push.endpoint.servers_option, "--to");
  ASSERT_EQ(parse("explain --to a", line), "ok");
  EXPECT_EQ(line.explain.endpoint.servers, "a");
  ASSERT_EQ(parse("serve --name a --registry etcd://h --advertise b:1 --lease 9", line), "ok");
  EXPECT_EQ(line.serve.lease, "9");
  EXPECT_THAT(parse("pull --from a --port 1"), HasSubstr("--from"));
  EXPECT_THAT(parse("peers --registry http://me:secret@h"), HasSubstr("begins with neither"));
  EXPECT_THAT(parse("peers --registry http://me:secret@h"), testing::Not(HasSubstr("secret")));
}

TEST(Options, an_ip_holds_no_port) {
  for (const char* command : {"serve", "pull", "push", "explain"}) {
    const auto error = [&](const std::string& ip) {
      return parse(fmt::format("{} --ip {}", command, ip));
    };
    EXPECT_EQ(error("127.0.0.1:7101"),
              "--ip: \"127.0.0.1:7101\" holds a port; give --ip 127.0.0.1 --port 7101");
    EXPECT_THAT(error("[::1]:71"), HasSubstr("give --ip [::1] --port 71"));
    EXPECT_THAT(error("node7:70000"), HasSubstr("is no IP address; the port has an option"));
    EXPECT_THAT(error("unix:/tmp/a.sock"), HasSubstr("give --socket \"/tmp/a.sock\""));
    for (const char* good :
         {"::1", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0.1", "node7"})
      EXPECT_EQ(error(good), "ok");
  }
}

TEST(Options, values_arrive) {
  CommandLine line;
  ASSERT_EQ(parse("push --port=1 --heads 3 --dtype int8 --input-tokens 17 --copy engine --sms 16 "
                  "--allow-slow --no-verify --json - --debug",
                  line),
            "ok");
  EXPECT_EQ(line.push.endpoint.port, 1);
  EXPECT_EQ(line.push.geometry.heads, 3u);
  EXPECT_EQ(line.push.geometry.dtype, "int8");
  EXPECT_EQ(line.push.input_tokens, 17u);
  EXPECT_EQ(line.push.copy, "engine");
  EXPECT_EQ(line.push.sms, 16u);
  EXPECT_TRUE(line.push.allow_slow && line.push.no_verify && line.push.debug);
  EXPECT_EQ(line.push.json, "-");
}

TEST(Options, a_servers_and_a_clients_flags_can_be_the_same) {
  const std::string seed =
      " --ip 127.0.0.1 --port 5555 --block-size 16 --available-memory 4 --heads 8 --dims 128"
      " --layers 40 --input-tokens 1024 --count 1 --debug";
  EXPECT_EQ(parse("serve" + seed), "ok");
  EXPECT_EQ(parse("pull" + seed), "ok");
}

TEST(Options, what_is_wrong_is_named) {
  EXPECT_THAT(parse("pull --colour red"), HasSubstr("--colour"));
  EXPECT_THAT(parse("pull --port 65536"), HasSubstr("\"65536\" is out of range"));
  EXPECT_THAT(parse("pull --port x"), HasSubstr("--port"));
  EXPECT_THAT(parse("pull --heads 0"), HasSubstr("--heads"));
  EXPECT_THAT(parse("pull --heads -1"), HasSubstr("--heads"));
  EXPECT_THAT(parse("pull --heads 010"), HasSubstr("\"010\""));
  EXPECT_THAT(parse("pull --copy fast"), HasSubstr("\"fast\" is not one of auto, kernel, engine"));
  EXPECT_THAT(parse("serve --fill zeros"), HasSubstr("--fill"));
  EXPECT_THAT(parse("pull --count"), HasSubstr("--count"));
  EXPECT_THAT(parse("pull --count 1 --count 2"), HasSubstr("--count"));
  EXPECT_NE(parse("fetch"), "ok");
  EXPECT_NE(parse(""), "ok");
  EXPECT_NE(parse("completion tcsh"), "ok");
}

TEST(Options, help_shows_defaults_and_fits_a_terminal) {
  CommandLine line;
  const auto app = make_app(line);
  for (CLI::App* sub : app->get_subcommands([](CLI::App*) { return true; })) {
    const std::string help = sub->help();
    std::istringstream lines(help);
    for (std::string text; std::getline(lines, text);) EXPECT_LE(text.size(), 91u) << text;
    for (const CLI::Option* option : sub->get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << sub->get_name();
      const std::string fallback = option->get_default_str();
      EXPECT_THAT(help, HasSubstr(fallback.substr(0, fallback.find_first_of(" :"))));
    }
  }
  EXPECT_THAT(app->get_subcommand("pull")->help(), HasSubstr("--port N"));
  EXPECT_THAT(app->get_subcommand("pull")->help(), HasSubstr("(default 5555)"));
  EXPECT_THAT(app->get_subcommand("pull")->help(), testing::Not(HasSubstr("\n\n\n")));
}

TEST(Help, wraps_at_spaces_and_keeps_lines) {
  EXPECT_EQ(wrap("one two three", 7, 2), "one two\n  three");
  EXPECT_EQ(wrap("one\ntwo", 80, 1), "one\n two");
  EXPECT_EQ(wrap("overlongword x", 4, 0), "overlongword\nx");
}

TEST(WholeNumber, takes_digits_only) {
  EXPECT_EQ(whole_number_error("0", {0, 9}), "");
  EXPECT_EQ(whole_number_error("9", {0, 9}), "");
  for (const char* bad : {"", "-1", "+1", "1.0", "0x1", "01", "1 ", "ten", "-"}) {
    EXPECT_THAT(whole_number_error(bad, {0, 99}), HasSubstr("not a whole number")) << bad;
  }
  for (const char* out : {"10", "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_THAT(whole_number_error(out, {0, 9}), HasSubstr("give 0 to 9")) << out;
  }
}

}  // namespace
}  // namespace kvferry::cli
