#include "doctor/child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "kvferry/error.hpp"

namespace kvferry::cli::doctor {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Read = Child::Read;

Child shell(const std::string& script, const std::string& variable = "") {
  return Child({"/bin/sh", {"sh", "-c", script}, variable});
}

auto in(std::chrono::milliseconds time) { return Child::Clock::now() + time; }

TEST(Child, says_lines_and_ends) {
  Child child = shell("echo one; echo \"$WORD\"; exit 3", "WORD=two");
  std::string line;
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::line);
  EXPECT_EQ(line, "one");
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::line);
  EXPECT_EQ(line, "two");
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::ended);
  EXPECT_EQ(child.complaint(), "its process ended with exit code 3");
}

TEST(Child, complains_in_one_line_without_the_programs_name) {
  Child child = shell("echo 'kvferry doctor: no' >&2; echo more >&2");
  std::string line;
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::ended);
  EXPECT_EQ(child.complaint(), "no more");
}

TEST(Child, that_floods_standard_error_is_not_held_up) {
  Child child = shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo done");
  std::string line;
  EXPECT_EQ(child.read_line(line, in(20s), -1), Read::line);
  EXPECT_EQ(line, "done");
}

TEST(Child, that_is_not_there) {
  Child child({"/nonexistent/program", {"program"}, ""});
  std::string line;
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::ended);
  EXPECT_EQ(child.complaint(), "its process ended with exit code 127");
}

TEST(Child, that_hangs_is_late_and_then_killed) {
  pid_t pid = 0;
  {
    // Deaf to everything but SIGKILL, and to its standard input.
    Child child = shell("trap '' TERM INT HUP; echo up; while :; do sleep 0.05; done");
    pid = child.pid();
    std::string line;
    ASSERT_EQ(child.read_line(line, in(10s), -1), Read::line);
    EXPECT_EQ(child.read_line(line, in(50ms), -1), Read::late);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Child, that_is_stopped_is_killed_too) {
  Child child = shell("echo up; kill -STOP $$; echo never");
  std::string line;
  ASSERT_EQ(child.read_line(line, in(10s), -1), Read::line);
  EXPECT_EQ(child.read_line(line, in(100ms), -1), Read::late);
  EXPECT_TRUE(child.finish(10ms));
}

TEST(Child, ends_when_its_input_does) {
  Child child = shell("cat; exit 0");
  EXPECT_TRUE(child.finish(10s));
}

TEST(Child, waits_no_longer_than_an_interrupt) {
  const UniqueFd interrupt(::eventfd(1, EFD_CLOEXEC));
  Child child = shell("sleep 100");
  std::string line;
  EXPECT_EQ(child.read_line(line, in(30s), interrupt.get()), Read::interrupted);
}

TEST(Child, killed_by_a_signal_says_which) {
  Child child = shell("kill -SEGV $$");
  std::string line;
  EXPECT_EQ(child.read_line(line, in(10s), -1), Read::ended);
  EXPECT_THAT(child.complaint(), HasSubstr("signal 11"));
}

}  // namespace
}  // namespace kvferry::cli::doctor
