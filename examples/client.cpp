// Pulls the blocks of 1024 tokens from a server and checks them.   client [ADDRESS [MEMORY_GIB]]
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <vector>

#include "pool_bytes.hpp"

namespace {

// Elements of these blocks, in all layers, that are not one.
std::uint64_t count_wrong(const kvferry::Pool& pool, const std::vector<std::uint32_t>& ids) {
  std::vector<std::uint16_t> block(pool.shape().block_bytes() / sizeof(std::uint16_t));
  std::uint64_t wrong = 0;
  for (std::uint32_t layer = 0; layer < pool.shape().layers; ++layer) {
    const auto* base = static_cast<const std::byte*>(pool.layer(layer));
    for (const std::uint32_t id : ids) {
      copy_bytes(pool.device(), block.data(), base + id * pool.block_stride(),
                 pool.shape().block_bytes());
      wrong += block.size() - std::count(block.begin(), block.end(), 0x3F80);  // bf16
    }
  }
  return wrong;
}

int pull(const std::string& address, std::uint64_t memory_gib) {
  const kvferry::CacheShape shape;  // must be the server's; a difference is refused, with a table
  const auto blocks = static_cast<std::uint32_t>(shape.blocks_for(memory_gib << 30));
  const kvferry::Pool pool = kvferry::Pool::allocate(best_device(), shape, blocks);

  kvferry::Node node({.name = "example-client"});
  node.add(pool);
  const kvferry::Peer server = node.connect(address);
  std::vector<std::uint32_t> ids(shape.blocks_for_tokens(1024));
  std::iota(ids.begin(), ids.end(), 0u);
  const kvferry::TransferReport report = server.pull(pool, ids, ids).wait();

  const std::uint64_t wrong = count_wrong(pool, ids);
  std::cout << report.blocks << " blocks x " << report.layers << " layers from " << server.name()
            << " over " << report.path << ": "
            << static_cast<double>(report.bytes) / report.total_s / 1e9 << " GB/s, "
            << (wrong == 0 ? "all ones" : std::to_string(wrong) + " elements WRONG") << '\n';
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  return pull(argc > 1 ? argv[1] : "127.0.0.1:5555",
              argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4);
} catch (const kvferry::Error& error) {
  std::cerr << "client: " << error.what() << '\n';
  return static_cast<int>(error.code());
}
