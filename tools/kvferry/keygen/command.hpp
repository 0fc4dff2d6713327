#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace kvferry::cli {

struct KeygenOptions {
  std::string kind;  // token, authority, certificate
  std::string name;
  std::vector<std::string> hosts;
  std::uint32_t days = 0;  // 0: the kind's own
  std::string directory = ".";
};

void add_keygen(CLI::App& root, KeygenOptions& options);
// Writes the files and says what they are for. Throws: Error{invalid_argument}, Error{resource} (a
// file that is there already, or cannot be written).
void run_keygen(const KeygenOptions& options);

}  // namespace kvferry::cli
