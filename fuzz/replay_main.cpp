#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

// Runs a fuzz target over every file of the directories given: the corpus as an ordinary test, with
// any compiler.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes);

namespace {

int replay(const std::filesystem::path& directory) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    // Before it runs: the last name is the culprit if it crashes.
    std::printf("%s (%zu bytes)\n", entry.path().c_str(), bytes.size());
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++files;
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    for (int i = 1; i < argc; ++i) {
      if (replay(argv[i]) > 0) continue;
      std::fprintf(stderr, "%s holds no files: nothing was tested\n", argv[i]);
      return 1;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the fuzz target let an exception out: %s\n", error.what());
    return 1;
  }
  if (argc < 2) std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY...\n", argv[0]);
  return argc < 2 ? 2 : 0;
}
