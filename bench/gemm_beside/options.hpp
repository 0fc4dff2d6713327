#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gemm_beside/rounds.hpp"

namespace gemm_beside {

struct Options {
  int device = 0, owner_device = 1, size = 8192;
  bool same_gpu = false;
  // Budgets; "all": none.
  std::vector<std::string> sms{"1",  "2",  "4",  "8",  "10", "12", "14",
                               "16", "20", "24", "32", "64", "all"};
  bool no_engine = false, no_automatic = false;
  std::uint32_t blocks = 64, at_once = 1;
  std::uint32_t at_least = 240;  // GB/s
  Pace pace;
  std::string cublas, python_packages, json;
  // Of the owner's process.
  std::string owner_socket;
  std::uint32_t owner_blocks = 0;
};

// Reads the command line. The exit status where there is nothing left to do: after --help, or a
// mistake, which it has then reported.
std::optional<int> parse(int argc, char** argv, Options& options);

}  // namespace gemm_beside
