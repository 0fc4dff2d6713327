#include "bench/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr int kCannotExec = 127;

UniqueFd checked(int fd, const char* what) {
  if (fd < 0) {
    throw Error(ErrorCode::resource, fmt::format("{} failed: {}", what, std::strerror(errno)));
  }
  return UniqueFd(fd);
}

// In the child, between fork and exec: nothing but system calls.
[[noreturn]] void become(const char* program, char* const* arguments, int input, int output,
                         pid_t parent) noexcept {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotExec);  // it died before we said so
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  // Not every library marks its descriptors, and a GPU's may keep memory alive.
  ::close_range(3, ~0u, 0);
  ::execv(program, arguments);
  ::_exit(kCannotExec);
}

}  // namespace

ChildProcess ChildProcess::start(const std::vector<std::string>& arguments, bool with_input) {
  return start_program("/proc/self/exe", arguments, with_input);
}

ChildProcess ChildProcess::start_program(const std::string& program,
                                         const std::vector<std::string>& arguments,
                                         bool with_input) {
  ChildProcess child;
  child.output_ = checked(::memfd_create("kvferry-bench-output", MFD_CLOEXEC), "memfd_create");
  UniqueFd input;
  if (with_input) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) checked(-1, "pipe2");
    input.reset(ends[0]);
    child.input_.reset(ends[1]);
  } else {
    input = checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "opening /dev/null");
  }
  std::vector<std::string> owned{program == "/proc/self/exe" ? "kvferry" : program};
  owned.insert(owned.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : owned) argv.push_back(argument.data());
  argv.push_back(nullptr);
  // Both ends must append: the child's streams share one place in the file, we read by offset.
  ::fcntl(child.output_.get(), F_SETFL, O_APPEND);
  const pid_t parent = ::getpid();
  child.pid_ = ::fork();
  if (child.pid_ == 0)
    become(program.c_str(), argv.data(), input.get(), child.output_.get(), parent);
  if (child.pid_ < 0) checked(-1, "fork");
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      exit_(other.exit_),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      read_(other.read_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    wait_end(std::chrono::milliseconds(0));
    pid_ = std::exchange(other.pid_, -1);
    exit_ = other.exit_;
    input_ = std::move(other.input_);
    output_ = std::move(other.output_);
    read_ = other.read_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { wait_end(std::chrono::milliseconds(0)); }

std::string ChildProcess::output(std::size_t most) const {
  struct stat info{};
  if (::fstat(output_.get(), &info) != 0) return {};
  const auto size = static_cast<std::size_t>(info.st_size);
  std::string text(std::min(size, most), '\0');
  const ssize_t got =
      ::pread(output_.get(), text.data(), text.size(), static_cast<off_t>(size - text.size()));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

std::vector<std::string> ChildProcess::new_lines() {
  std::vector<std::string> lines;
  struct stat info{};
  if (::fstat(output_.get(), &info) != 0) return lines;
  std::string text(static_cast<std::size_t>(info.st_size) - read_, '\0');
  const ssize_t got = ::pread(output_.get(), text.data(), text.size(), static_cast<off_t>(read_));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  read_ += begin;
  return lines;
}

void ChildProcess::write(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t written = ::write(input_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      throw Error(ErrorCode::resource,
                  fmt::format("process {} of the benchmark has gone: {}", pid_, output()));
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::optional<int> ChildProcess::poll_exit() {
  if (exit_ || pid_ < 0) return exit_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return exit_;
}

void ChildProcess::ask_to_end() noexcept {
  input_.reset();
  if (pid_ > 0 && !poll_exit()) ::kill(pid_, SIGTERM);
}

void ChildProcess::wait_end(std::chrono::milliseconds patience) noexcept {
  if (pid_ < 0) return;
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!poll_exit() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (!poll_exit()) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
}

}  // namespace kvferry::cli::bench
