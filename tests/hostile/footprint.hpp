#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/sanitized.hpp"
#include "kvferry/kvferry.hpp"

// What servers under fire share: a cache of next to nothing, and what the process has in use.
namespace kvferry::hostile {

inline CacheShape tiny() { return {2, 2, 2, 16, 4, DType::bf16}; }

struct Footprint {
  std::uint64_t resident_kib = 0;
  std::size_t fds = 0;
};

inline Footprint footprint() {
  Footprint now;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmRSS:") status >> now.resident_kib;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++now.fds;
  return now;
}

inline void expect_no_growth_since(const Footprint& before) {
  const Footprint now = footprint();
  EXPECT_LE(now.fds, before.fds + 8) << "descriptors leaked";
  // A sanitizer keeps what was freed for a while, and its own notes.
  if (kSanitized) return;
  EXPECT_LE(now.resident_kib, before.resident_kib + 8 * 1024) << "memory grew";
}

}  // namespace kvferry::hostile
