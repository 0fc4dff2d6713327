#include "interrupts.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

UniqueFd checked(int fd, const char* what) {
  if (fd < 0) {
    throw Error(ErrorCode::resource, fmt::format("{} failed: {}", what, std::strerror(errno)));
  }
  return UniqueFd(fd);
}

void raise_event(int fd) noexcept {
  const std::uint64_t one = 1;
  // An eventfd far from its limit takes every write.
  [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

}  // namespace

Interrupts::Interrupts() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) {
    throw Error(ErrorCode::resource, "cannot block SIGINT and SIGTERM");
  }
  signals_ = checked(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  happened_ = checked(::eventfd(0, EFD_CLOEXEC), "eventfd");
  stop_ = checked(::eventfd(0, EFD_CLOEXEC), "eventfd");
  watcher_ = std::thread([this] { watch(); });
}

Interrupts::~Interrupts() {
  raise_event(stop_.get());
  watcher_.join();
}

void Interrupts::watch() {
  while (true) {
    std::array<pollfd, 2> fds{{{signals_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
    if (requested()) ::_exit(130);
    signal_.store(static_cast<int>(info.ssi_signo), std::memory_order_relaxed);
    raise_event(happened_.get());
  }
}

const char* Interrupts::name() const noexcept {
  return signal_.load(std::memory_order_relaxed) == SIGTERM ? "SIGTERM" : "SIGINT";
}

void Interrupts::throw_if_requested() const {
  if (!requested()) return;
  throw Error(ErrorCode::cancelled, fmt::format("interrupted by {}", name()));
}

}  // namespace kvferry::cli
