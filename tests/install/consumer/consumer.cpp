#include <cstdlib>
#include <cstring>
#include <iostream>
#include <kvferry/kvferry.hpp>
#include <string>
#include <vector>

// Uses the installed library as a stranger would: geometry, a pool, two nodes in one process, one
// pull, one error.
namespace {

int failures = 0;

void expect(bool good, const std::string& what) {
  if (good) return;
  std::cerr << "consumer: " << what << '\n';
  ++failures;
}

void check_shape() {
  const kvferry::CacheShape mistral;
  expect(mistral.block_bytes() == 65536, "the default block is 64 KiB");
  expect(mistral.blocks_for(4ull << 30) == 1638, "4 GiB hold 1638 blocks");
  try {
    kvferry::parse_dtype("bf15");
    expect(false, "an unknown dtype is refused");
  } catch (const kvferry::Error& error) {
    // Caught by its own type: the library and this program agree on what Error is.
    expect(error.code() == kvferry::ErrorCode::invalid_argument, "it is the caller's mistake");
  }
}

kvferry::Pool make_pool(unsigned char byte) {
  const kvferry::CacheShape shape{.layers = 3, .kv_heads = 2, .head_dim = 16};
  kvferry::Pool pool = kvferry::Pool::allocate(kvferry::Device::host(), shape, 8);
  for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
    std::memset(pool.layer(layer), byte, pool.blocks() * pool.block_stride());
  }
  return pool;
}

void check_pull(const std::string& socket_path) {
  const kvferry::Pool source = make_pool(0x5a);
  const kvferry::Pool target = make_pool(0);
  kvferry::Node server, client;
  server.add(source);
  client.add(target);
  server.listen({.tcp = false, .socket_path = socket_path});
  const kvferry::Peer peer = client.connect("unix:" + socket_path);
  const std::vector<std::uint32_t> remote{7, 0, 3}, local{1, 2, 5};
  const kvferry::TransferReport report = peer.pull(target, remote, local).wait();
  expect(report.bytes == 3 * 3 * target.shape().block_bytes(), "three blocks of three layers");
  for (std::uint32_t block = 0; block < target.blocks(); ++block) {
    const bool pulled = block == 1 || block == 2 || block == 5;
    const auto* bytes = static_cast<const unsigned char*>(target.layer(2));
    expect(bytes[block * target.block_stride()] == (pulled ? 0x5a : 0), "only what was asked for");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: consumer DIRECTORY (0700, for its socket)\n";
    return 2;
  }
  check_shape();
  check_pull(std::string(argv[1]) + "/consumer.sock");
  std::cout << "kvferry " << kvferry::build_description() << ": "
            << (failures == 0 ? "consumer ok" : "consumer FAILED") << '\n';
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
