// A client in a hurry: far more small transfers than anybody waits for, from one thread. What has
// ended must not pile up in memory until the owner has been told.
#include <gtest/gtest.h>

#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>

#include "hostile/footprint.hpp"
#include "session/test_credentials.hpp"

namespace kvferry {
namespace {

// The most that was resident since the last reset, by the kernel's own account.
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }
std::uint64_t peak_kib() {
  std::ifstream status("/proc/self/status");
  std::uint64_t kib = 0;
  for (std::string word; status >> word;)
    if (word == "VmHWM:") status >> kib;
  return kib;
}

TEST(Burst, AHundredThousandTinyPullsThatNobodyWaitsForStayWithinBounds) {
  const session::TestCredentials files;  // for its folder
  Pool pool = Pool::allocate(Device::host(), hostile::tiny(), 8);
  const Pool local = Pool::allocate(Device::host(), hostile::tiny(), 8);
  Node server, client;
  server.add(pool);
  ListenOptions listen;
  listen.tcp = false;
  listen.socket_path = files.directory() + "/s";
  server.listen(listen);
  client.add(local);
  const Peer peer = client.connect("unix:" + listen.socket_path);
  const std::vector<std::uint32_t> ids{1};
  const auto post = [&](int count) {
    std::deque<Transfer> running;
    for (int i = 0; i < count; ++i) {
      running.push_back(peer.pull(local, ids, ids));
      // Those that still move are the caller's to bound.
      if (running.size() < 500) continue;
      running.front().wait();
      running.pop_front();
    }
    for (const Transfer& transfer : running) transfer.wait();
  };
  post(2000);
  reset_peak();
  const std::uint64_t before = peak_kib();
  post(100'000);
  const std::uint64_t after = peak_kib();
  RecordProperty("grew_kib", static_cast<int>(after - before));
  std::printf("grew by %llu KiB\n", static_cast<unsigned long long>(after - before));
  if (kSanitized) GTEST_SKIP() << "a sanitizer keeps what was freed, and its own notes";
  EXPECT_LE(after, before + 16 * 1024);
}

}  // namespace
}  // namespace kvferry
