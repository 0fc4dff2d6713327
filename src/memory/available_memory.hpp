#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kvferry::memory {

// Bytes of host memory this process can still take before the kernel starts to kill: the least of
// MemAvailable (/proc/meminfo) and the headroom of every cgroup (v2) the process is in. nullopt
// where /proc says nothing. `root` stands before every path read, for tests.
std::optional<std::uint64_t> available_host_bytes(const std::string& root = "");

}  // namespace kvferry::memory
