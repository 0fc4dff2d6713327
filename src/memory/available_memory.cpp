#include "memory/available_memory.hpp"

#include <algorithm>
#include <fstream>
#include <string_view>

namespace kvferry::memory {

namespace {

// The number after `key` in a file of "key number ..." lines.
std::optional<std::uint64_t> field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::uint64_t value = 0;
    if (word == key && file >> value) return value;
    file.clear();
    std::getline(file, word);
  }
  return std::nullopt;
}

// "max" (no limit) and a missing file read the same: nullopt.
std::optional<std::uint64_t> number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::optional<std::uint64_t> cgroup_headroom(const std::string& dir) {
  const auto limit = number(dir + "/memory.max");
  const auto used = number(dir + "/memory.current");
  if (!limit || !used) return std::nullopt;
  // Cached files count as used but give way.
  const std::uint64_t cached = field(dir + "/memory.stat", "inactive_file").value_or(0) +
                               field(dir + "/memory.stat", "active_file").value_or(0);
  const std::uint64_t firm = *used - std::min(*used, cached);
  return *limit - std::min(*limit, firm);
}

// The path after "0::" in /proc/self/cgroup; empty where there is no unified hierarchy.
std::string own_cgroup(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> available_host_bytes(const std::string& root) {
  const auto kib = field(root + "/proc/meminfo", "MemAvailable:");
  if (!kib) return std::nullopt;
  std::uint64_t available = *kib * 1024;
  for (std::string group = own_cgroup(root); !group.empty();) {
    const auto headroom = cgroup_headroom(root + "/sys/fs/cgroup" + group);
    if (headroom) available = std::min(available, *headroom);
    // A limit of any ancestor binds as well.
    group = group == "/" ? "" : group.substr(0, std::max<std::size_t>(1, group.rfind('/')));
  }
  return available;
}

}  // namespace kvferry::memory
