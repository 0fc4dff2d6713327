#include "doctor/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "doctor/read_file.hpp"
#include "kvferry/error.hpp"

extern char** environ;  // NOLINT: POSIX's name

namespace kvferry::cli::doctor {
namespace {

constexpr std::size_t kMaxLine = 4 << 20;
constexpr std::size_t kMaxSaid = 4096;
// What the program puts before its own errors; whose it was is said anyway.
constexpr std::string_view kOwnName = "kvferry doctor: ";

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw Error(ErrorCode::resource,
                fmt::format("cannot make a pipe: {}; see ulimit -n", std::strerror(errno)));
  }
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Where standard descriptors were closed, these took their numbers, which the child needs.
  for (UniqueFd* const end : {&pipe.read, &pipe.write}) {
    if (end->get() < 3) end->reset(::fcntl(end->get(), F_DUPFD_CLOEXEC, 3));
  }
  return pipe;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_with(const std::string& variable) {
  std::vector<std::string> all;
  for (char** v = environ; *v != nullptr; ++v) all.emplace_back(*v);
  if (!variable.empty()) all.push_back(variable);
  return all;
}

// Between fork and exec, in a copy of a process that has threads: system calls only.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment,
                         const std::array<int, 3>& standard, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before prctl could see it
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(standard[static_cast<std::size_t>(fd)], fd) != fd) ::_exit(127);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execve(program, arguments, environment);
  ::_exit(127);
}

}  // namespace

Child::Child(const Command& command) {
  Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
  const auto texts = environment_with(command.variable);
  const auto arguments = pointers(command.arguments), environment = pointers(texts);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) {
    throw Error(ErrorCode::resource, fmt::format("cannot start a second process: {}; see ulimit -u",
                                                 std::strerror(errno)));
  }
  if (pid_ == 0) {
    become(command.program.c_str(), arguments.data(), environment.data(),
           {in.read.get(), out.write.get(), err.write.get()}, parent);
  }
  input_ = std::move(in.write);
  output_ = std::move(out.read);
  errors_ = std::move(err.read);
  ::fcntl(errors_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      ended_(other.ended_),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)),
      buffer_(std::move(other.buffer_)),
      said_(std::move(other.said_)) {}

Child::~Child() { finish(std::chrono::milliseconds(0)); }

bool Child::reap_until(Clock::time_point until) noexcept {
  while (pid_ > 0) {
    const pid_t got = ::waitpid(pid_, &status_, WNOHANG);
    if (got == pid_ || (got < 0 && errno == ECHILD)) {
      ended_ = got == pid_;
      pid_ = -1;
      break;
    }
    if (Clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool Child::finish(std::chrono::milliseconds patience) noexcept {
  input_.reset();
  if (reap_until(Clock::now() + patience)) return true;
  ::kill(pid_, SIGKILL);
  const bool gone = reap_until(Clock::now() + std::chrono::seconds(2));
  pid_ = -1;
  return gone;
}

bool Child::take_line(std::string& line) {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) return false;
  line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return true;
}

void Child::drain_errors() {
  std::array<char, 1024> piece{};
  for (ssize_t got = 1; errors_ && got > 0;) {
    got = ::read(errors_.get(), piece.data(), piece.size());
    if (got > 0) said_.append(piece.data(), static_cast<std::size_t>(got));
    if (got == 0) errors_.reset();
    if (said_.size() > kMaxSaid) said_.erase(0, said_.size() - kMaxSaid);
  }
}

Child::Read Child::read_line(std::string& line, Clock::time_point until, int interrupt) {
  while (!take_line(line)) {
    if (!output_ || buffer_.size() > kMaxLine) return Read::ended;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    std::array<pollfd, 3> fds{{{output_.get(), POLLIN, 0},
                               {errors_ ? errors_.get() : -1, POLLIN, 0},
                               {interrupt, POLLIN, 0}}};
    const int ready = ::poll(fds.data(), fds.size(),
                             static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready < 0 && errno != EINTR) return Read::ended;
    if (fds[2].revents != 0) return Read::interrupted;
    if (ready == 0 && left <= 0) return Read::late;
    if (fds[1].revents != 0) drain_errors();
    if (fds[0].revents == 0) continue;
    std::array<char, 4096> piece{};
    const ssize_t got = ::read(output_.get(), piece.data(), piece.size());
    if (got > 0) buffer_.append(piece.data(), static_cast<std::size_t>(got));
    if (got == 0) output_.reset();
  }
  return Read::line;
}

std::string Child::complaint() {
  reap_until(Clock::now() + std::chrono::milliseconds(500));
  drain_errors();
  std::string text = trimmed(said_);
  if (text.starts_with(kOwnName)) text.erase(0, kOwnName.size());
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (!text.empty()) return text;
  if (!ended_) return "its process said nothing";
  if (WIFSIGNALED(status_)) {
    return fmt::format("its process was killed by signal {} ({})", WTERMSIG(status_),
                       ::strsignal(WTERMSIG(status_)));  // NOLINT(concurrency-mt-unsafe)
  }
  return fmt::format("its process ended with exit code {}", WEXITSTATUS(status_));
}

}  // namespace kvferry::cli::doctor
