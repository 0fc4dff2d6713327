#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <vector>

#include "wire/messages.hpp"
#include "wire/random_message.hpp"

// Writes the seeds of fuzz/corpus/wire: every kind of message for the decoder, headers, and streams
// of frames for the reader. Deterministic: run it again when the schema has grown.
namespace {

using namespace kvferry::wire;

constexpr std::size_t kMaxSeedBytes = 3000;

std::vector<std::byte> frame_of(const Message& message) {
  std::uint16_t fds = std::holds_alternative<MoreFds>(message) ? 7 : 0;
  if (const auto* grant = std::get_if<PoolGrant>(&message))
    fds = static_cast<std::uint16_t>(std::min<std::uint32_t>(grant->fds_total, kMaxFdsPerFrame));
  return encode(message, fds);
}

void write(const std::filesystem::path& file, std::initializer_list<unsigned> selector,
           std::span<const std::byte> bytes) {
  std::ofstream out(file, std::ios::binary);
  for (const unsigned byte : selector) out.put(static_cast<char>(byte));
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file.string());
}

void write_seeds(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  std::vector<std::byte> stream;
  for (std::size_t kind = 0; kind < std::variant_size_v<Message>; ++kind) {
    // Grants come in several forms: kinds of memory, even or packed planes.
    int wanted = kind == 4 ? 8 : 2;
    for (std::uint64_t seed = 1; wanted > 0; ++seed) {
      const Message message = RandomMessage(seed).make(kind);
      const auto frame = frame_of(message);
      if (frame.size() > kMaxSeedBytes) continue;
      const auto name = fmt::format("{}_{}", name_of(message), wanted);
      write(directory / name, {1}, std::span(frame).subspan(kHeaderBytes));
      if (wanted == 1) stream.insert(stream.end(), frame.begin(), frame.end());
      --wanted;
    }
  }
  write(directory / "header", {0}, std::span(stream).first(kHeaderBytes));
  write(directory / "stream_1", {2, 0}, std::span(stream).first(200));
  write(directory / "stream_256", {2, 255}, stream);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  try {
    write_seeds(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
