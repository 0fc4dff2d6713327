#include "socket_path.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class SocketPath : public testing::Test {
 protected:
  SocketPath() {
    fs::remove_all(dir_);
    fs::create_directory(dir_);
    here_.tmp_dir = dir_;
    here_.uid = ::geteuid();
    here_.pid = 42;
  }
  ~SocketPath() override { fs::remove_all(dir_); }

  std::string fallback() const { return dir_.string() + "/kvferry-" + std::to_string(here_.uid); }
  std::string error() const {
    try {
      return "no error: " + default_socket_path(here_, 5555);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::resource);
      return e.what();
    }
  }

  fs::path dir_ = fs::path(testing::TempDir()) / ("kvferry-socket-" + std::to_string(::getpid()));
  Surroundings here_;
};

TEST_F(SocketPath, a_private_runtime_dir_is_used) {
  here_.runtime_dir = dir_ / "run";
  fs::create_directory(here_.runtime_dir);
  ASSERT_EQ(::chmod(here_.runtime_dir.c_str(), 0700), 0);
  EXPECT_EQ(default_socket_path(here_, 5555), here_.runtime_dir + "/kvferry-5555.sock");
  EXPECT_FALSE(fs::exists(fallback()));
}

TEST_F(SocketPath, an_open_absent_or_relative_runtime_dir_is_not) {
  here_.runtime_dir = dir_ / "run";
  EXPECT_EQ(default_socket_path(here_, 5555), fallback() + "/kvferry-5555.sock");
  fs::create_directory(here_.runtime_dir);
  ASSERT_EQ(::chmod(here_.runtime_dir.c_str(), 0755), 0);
  EXPECT_EQ(default_socket_path(here_, 5555), fallback() + "/kvferry-5555.sock");
  here_.runtime_dir = "run";
  EXPECT_EQ(default_socket_path(here_, 5555), fallback() + "/kvferry-5555.sock");
}

TEST_F(SocketPath, the_fallback_directory_is_made_private) {
  EXPECT_EQ(default_socket_path(here_, 7), fallback() + "/kvferry-7.sock");
  struct stat info{};
  ASSERT_EQ(::stat(fallback().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  EXPECT_EQ(default_socket_path(here_, 7), fallback() + "/kvferry-7.sock");
}

TEST_F(SocketPath, any_free_port_gets_a_name_by_pid) {
  EXPECT_EQ(default_socket_path(here_, 0), fallback() + "/kvferry-pid42.sock");
}

// A socket bound by nobody who lives, as old as that many seconds.
class LeftBehind {
 public:
  LeftBehind(const std::string& path, int age, bool listens = false)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (listens) {
      EXPECT_EQ(::listen(socket_, 1), 0);
    }
    const timespec when{::time(nullptr) - age, 0}, times[2] = {when, when};
    EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  ~LeftBehind() { ::close(socket_); }
  LeftBehind(const LeftBehind&) = delete;
  LeftBehind& operator=(const LeftBehind&) = delete;

 private:
  const int socket_;
};

TEST_F(SocketPath, what_killed_servers_left_is_removed_and_nothing_else) {
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(gone, nullptr, 0), gone);
  const std::string of_gone = dir_.string() + "/kvferry-pid" + std::to_string(gone);
  const std::string of_us = dir_.string() + "/kvferry-pid" + std::to_string(::getpid());
  const std::string listening = dir_.string() + "/kvferry-pid999999999.sock";
  const std::string other = dir_.string() + "/kvferry-pid" + std::to_string(gone) + ".sock.old";
  std::ofstream(dir_ / "kvferry-pid999999998.sock") << "no socket";
  const LeftBehind alive(of_us + ".sock", 100), elsewhere(listening, 100, true), named(other, 100);
  {
    const LeftBehind young(of_gone + ".sock", 5);
    remove_abandoned_sockets(dir_.string() + "/kvferry-1.sock");
    EXPECT_TRUE(fs::exists(of_gone + ".sock")) << "it may be about to listen";
    fs::remove(of_gone + ".sock");
  }
  const LeftBehind old(of_gone + ".sock", 100);
  remove_abandoned_sockets(dir_.string() + "/kvferry-1.sock");
  EXPECT_FALSE(fs::exists(of_gone + ".sock"));
  for (const std::string& kept : {of_us + ".sock", listening, other}) EXPECT_TRUE(fs::exists(kept));
  EXPECT_TRUE(fs::exists(dir_ / "kvferry-pid999999998.sock"));
}

TEST_F(SocketPath, a_directory_open_to_others_is_refused) {
  fs::create_directory(fallback());
  ASSERT_EQ(::chmod(fallback().c_str(), 0750), 0);
  EXPECT_THAT(error(), AllOf(HasSubstr(fallback()), HasSubstr("0750"), HasSubstr("--socket")));
}

TEST_F(SocketPath, a_directory_of_somebody_else_is_refused) {
  fs::create_directory(fallback());
  ASSERT_EQ(::chmod(fallback().c_str(), 0700), 0);
  // Seen from another user, this directory is not ours.
  const std::string theirs = fallback();
  here_.uid += 1;
  fs::rename(theirs, fallback());
  EXPECT_THAT(error(), HasSubstr("belongs to user"));
}

TEST_F(SocketPath, a_link_or_a_file_is_refused) {
  fs::create_directory(dir_ / "elsewhere");
  fs::create_symlink(dir_ / "elsewhere", fallback());
  EXPECT_THAT(error(), HasSubstr("not a directory"));
  fs::remove(fallback());
  std::ofstream(fallback()) << "x";
  EXPECT_THAT(error(), HasSubstr("not a directory"));
}

TEST_F(SocketPath, a_chosen_directory_that_others_can_write_is_refused) {
  const std::string path = dir_ / "x.sock";
  for (const mode_t good : {0700u, 0755u, 01777u}) {
    ASSERT_EQ(::chmod(dir_.c_str(), good), 0);
    EXPECT_NO_THROW(require_safe_directory(path)) << good;
  }
  for (const mode_t bad : {0777u, 0770u}) {
    ASSERT_EQ(::chmod(dir_.c_str(), bad), 0);
    EXPECT_THROW(require_safe_directory(path), Error) << bad;
  }
  EXPECT_THROW(require_safe_directory(dir_ / "absent" / "x.sock"), Error);
}

TEST_F(SocketPath, no_place_for_the_directory_is_said) {
  here_.tmp_dir = dir_ / "absent";
  EXPECT_THAT(error(), AllOf(HasSubstr("cannot make"), HasSubstr("absent")));
}

}  // namespace
}  // namespace kvferry::cli
