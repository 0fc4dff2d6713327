// Pulls the same blocks again and again, as a worker does that reuses its slots: ids checked and
// laid out once, posted many times. Both ends are in this process.   prepared [host|cuda [POSTS]]
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <vector>

#include "pool_bytes.hpp"

namespace {

using Ids = std::vector<std::uint32_t>;

// A directory of our own for the socket, gone at the end.
struct Directory {
  Directory() {
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make " + path);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string path = std::filesystem::temp_directory_path() / "kvferry-example-XXXXXX";
};

// Writes `value` into every byte of these blocks, in all layers.
void write_blocks(const kvferry::Pool& pool, const Ids& ids, std::uint8_t value) {
  const std::vector<std::uint8_t> block(pool.shape().block_bytes(), value);
  for (std::uint32_t layer = 0; layer < pool.shape().layers; ++layer) {
    auto* base = static_cast<std::byte*>(pool.layer(layer));
    for (const std::uint32_t id : ids) {
      copy_bytes(pool.device(), base + id * pool.block_stride(), block.data(), block.size());
    }
  }
}

// Of these blocks, in all layers, those that hold anything else.
std::uint64_t count_wrong(const kvferry::Pool& pool, const Ids& ids, std::uint8_t value) {
  std::vector<std::uint8_t> block(pool.shape().block_bytes());
  std::uint64_t wrong = 0;
  for (std::uint32_t layer = 0; layer < pool.shape().layers; ++layer) {
    const auto* base = static_cast<const std::byte*>(pool.layer(layer));
    for (const std::uint32_t id : ids) {
      copy_bytes(pool.device(), block.data(), base + id * pool.block_stride(), block.size());
      wrong += std::any_of(block.begin(), block.end(), [&](auto byte) { return byte != value; });
    }
  }
  return wrong;
}

int pull_repeatedly(kvferry::Device device, int posts, const std::string& socket) {
  kvferry::CacheShape shape;
  shape.layers = 8;
  const kvferry::Pool theirs = kvferry::Pool::allocate(device, shape, /*blocks=*/64);
  const kvferry::Pool ours = kvferry::Pool::allocate(device, shape, /*blocks=*/64);
  kvferry::Node owner({.name = "owner"}), worker({.name = "worker"});
  owner.add(theirs);
  worker.add(ours);
  owner.listen({.tcp = false, .socket_path = socket});
  const kvferry::Peer peer = worker.connect("unix:" + socket);

  Ids from(16), to(16);
  std::iota(from.begin(), from.end(), 40u);
  std::iota(to.rbegin(), to.rend(), 0u);
  const kvferry::PreparedTransfer prepared = peer.prepare_pull(ours, from, to);

  // Each post may start once the one before has ended: both write the same blocks. In a CUDA graph
  // it would be prepared.capture(stream), of a pull prepared with copy = kernel, and no post().
  std::vector<double> seconds;
  std::uint64_t wrong = 0;
  for (int i = 0; i < posts; ++i) {
    const auto value = static_cast<std::uint8_t>(i + 1);
    write_blocks(theirs, from, value);
    seconds.push_back(prepared.post().wait().total_s);
    wrong += count_wrong(ours, to, value);
  }
  std::nth_element(seconds.begin(), seconds.begin() + posts / 2, seconds.end());
  std::cout << posts << " posts of " << from.size() << " blocks x " << shape.layers << " layers on "
            << device.to_string() << ": median " << seconds[posts / 2] * 1e6 << " us, "
            << (wrong == 0 ? "every byte right" : std::to_string(wrong) + " blocks WRONG") << '\n';
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string device = argc > 1 ? argv[1] : "host";
  const int posts = argc > 2 ? std::atoi(argv[2]) : 10;
  if ((device != "host" && device != "cuda") || posts < 1) {
    std::cerr << "usage: prepared [host|cuda [POSTS]]\n";
    return 2;
  }
  const Directory directory;
  return pull_repeatedly(device == "cuda" ? kvferry::Device::cuda(0) : kvferry::Device::host(),
                         posts, directory.path + "/socket");
} catch (const std::exception& error) {
  std::cerr << "prepared: " << error.what() << '\n';
  return 1;
}
