#include "gemm_beside/owner.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "kvferry/error.hpp"
#include "kvferry/node.hpp"
#include "pattern/pattern.hpp"

namespace gemm_beside {
namespace {

using namespace kvferry;
using namespace std::chrono_literals;

// A CUDA context and 4 GiB take a second or two; on a machine that starts cold, more.
constexpr auto kStartPatience = 60s;
constexpr auto kEndPatience = 5s;

std::string make_directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kvferry-gemm-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw Error(ErrorCode::resource, "cannot make the folder " + pattern);
  }
  return pattern;
}

void wait_for_end_of_input() {
  char ignored[64];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, ignored, sizeof(ignored));
    if (got == 0 || (got < 0 && errno != EINTR)) return;
  }
}

cli::bench::ChildProcess start(const std::string& socket, int device, std::uint32_t blocks) {
  return cli::bench::ChildProcess::start(
      {"--owner-socket", socket, "--owner-device", std::to_string(device), "--owner-blocks",
       std::to_string(blocks)},
      true);
}

}  // namespace

int serve_pool(const std::string& socket, int device, std::uint32_t blocks) {
  const Pool pool = Pool::allocate(Device::cuda(device), CacheShape{}, blocks);
  std::vector<pattern::BlockSpec> specs;
  for (std::uint32_t b = 0; b < blocks; ++b)
    specs.push_back({b, b, pattern::Fill::indexed, kOwnerSeed});
  pattern::fill(pool, specs, {});
  Node node({.name = "owner"});
  node.add(pool);
  node.listen({.tcp = false, .socket_path = socket});
  fmt::print("ready\n");
  std::fflush(stdout);
  wait_for_end_of_input();
  return 0;
}

OwnerProcess::OwnerProcess(int device, std::uint32_t blocks)
    : directory_(make_directory()),
      socket_(directory_ + "/socket"),
      process_(start(socket_, device, blocks)) {
  try {
    wait_ready();
  } catch (...) {
    remove_socket();
    throw;
  }
}

OwnerProcess::~OwnerProcess() {
  process_.close_input();
  process_.wait_end(kEndPatience);
  remove_socket();
}

void OwnerProcess::remove_socket() noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void OwnerProcess::wait_ready() {
  const auto until = std::chrono::steady_clock::now() + kStartPatience;
  for (;;) {
    const auto lines = process_.new_lines();
    if (std::ranges::find(lines, "ready") != lines.end()) return;
    if (const auto status = process_.poll_exit()) {
      throw Error(ErrorCode::resource, fmt::format("the owner's process ended with status {}:\n{}",
                                                   *status, process_.output()));
    }
    if (std::chrono::steady_clock::now() > until) {
      throw Error(ErrorCode::resource,
                  fmt::format("the owner's process is not ready after {} s:\n{}",
                              kStartPatience.count(), process_.output()));
    }
    std::this_thread::sleep_for(5ms);
  }
}

}  // namespace gemm_beside
