#include "memory/available_memory.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace kvferry::memory {
namespace {

class AvailableMemory : public testing::Test {
 protected:
  AvailableMemory() {
    std::string name = testing::TempDir() + "kvferry-root-XXXXXX";
    root_ = ::mkdtemp(name.data());
  }
  ~AvailableMemory() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void meminfo() {
    write("/proc/meminfo", "MemTotal:  9000 kB\nMemFree: 1000 kB\nMemAvailable:    4000 kB\n");
  }

  std::string root_;
};

TEST_F(AvailableMemory, ReadsTheMachinesFigureWithoutCgroups) {
  meminfo();
  EXPECT_EQ(available_host_bytes(root_), 4000u * 1024);
}

TEST_F(AvailableMemory, KnowsNothingWithoutProc) {
  EXPECT_EQ(available_host_bytes(root_), std::nullopt);
}

TEST_F(AvailableMemory, ACgroupLimitBinds) {
  meminfo();
  write("/proc/self/cgroup", "0::/pods/a\n");
  write("/sys/fs/cgroup/pods/a/memory.max", "1000000\n");
  write("/sys/fs/cgroup/pods/a/memory.current", "900000\n");
  write("/sys/fs/cgroup/pods/a/memory.stat", "anon 1\ninactive_file 50000\nactive_file 10000\n");
  EXPECT_EQ(available_host_bytes(root_), 160000u);
}

TEST_F(AvailableMemory, AnAncestorsLimitBindsAsWell) {
  meminfo();
  write("/proc/self/cgroup", "1:name=systemd:/x\n0::/pods/a\n");
  write("/sys/fs/cgroup/pods/a/memory.max", "max\n");
  write("/sys/fs/cgroup/pods/a/memory.current", "900000\n");
  write("/sys/fs/cgroup/pods/memory.max", "2000\n");
  write("/sys/fs/cgroup/pods/memory.current", "5000\n");
  EXPECT_EQ(available_host_bytes(root_), 0u);
}

TEST_F(AvailableMemory, TheRootGroupIsTheContainersOwn) {
  meminfo();
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "3000\n");
  write("/sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(available_host_bytes(root_), 2000u);
}

TEST_F(AvailableMemory, ThisMachineHasSome) { EXPECT_GT(available_host_bytes().value(), 0u); }

}  // namespace
}  // namespace kvferry::memory
