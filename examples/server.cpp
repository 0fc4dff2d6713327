// Serves a KV cache filled with ones until Ctrl-C.   server [PORT [MEMORY_GIB]]
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include "pool_bytes.hpp"

namespace {

void fill_with_ones(const kvferry::Pool& pool) {
  const std::uint16_t one = 0x3F80;  // bf16
  const std::vector<std::uint16_t> ones(pool.blocks() * pool.block_stride() / sizeof(one), one);
  for (std::uint32_t layer = 0; layer < pool.shape().layers; ++layer) {
    copy_bytes(pool.device(), pool.layer(layer), ones.data(), ones.size() * sizeof(one));
  }
}

int serve(std::uint16_t port, std::uint64_t memory_gib) {
  // Before the node starts its threads, so that the signals reach sigwait below and nobody else.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const kvferry::CacheShape shape;  // Mistral-Small-3.1: 40 layers of 64 KiB blocks
  const auto blocks = static_cast<std::uint32_t>(shape.blocks_for(memory_gib << 30));
  const kvferry::Pool pool = kvferry::Pool::allocate(best_device(), shape, blocks);
  fill_with_ones(pool);

  std::string directory = std::filesystem::temp_directory_path() / "kvferry-example-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("no directory for the socket");
  kvferry::Node node({.name = "example-server"});
  node.add(pool);
  node.listen({.port = port, .socket_path = directory + "/socket"});
  std::cout << "serving " << shape.to_string() << ", " << blocks << " blocks on "
            << pool.device().to_string() << " at 127.0.0.1:" << node.port() << std::endl;

  int signal = 0;
  sigwait(&stop, &signal);
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  return serve(static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 5555),
               argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4);
} catch (const std::exception& error) {
  std::cerr << "server: " << error.what() << '\n';
  return 1;
}
