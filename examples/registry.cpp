// Serves a pool by name, finds it by that name and pulls from it.   registry REGISTRY NAME
#include <unistd.h>

#include <iostream>
#include <kvferry/kvferry.hpp>
#include <vector>

namespace {

kvferry::Pool host_pool() {
  const kvferry::CacheShape shape{.layers = 2};
  return kvferry::Pool::allocate(kvferry::Device::host(), shape, 64);
}

int run(const std::string& url, const std::string& name) {
  const kvferry::Registry registry({.url = url});

  // A server: announced as long as `announcement` lives, which must go before the node.
  kvferry::Node server({.name = name});
  server.add(host_pool());
  server.listen({.port = 0, .socket_path = "/tmp/kvferry-example-" + std::to_string(::getpid())});
  const kvferry::Announcement announcement = registry.announce(server);

  // A client, on this host or another one.
  for (const kvferry::RegisteredPeer& peer : registry.list())
    std::cout << peer.name << " at " << peer.addresses.front() << ", " << peer.health << '\n';
  const kvferry::Pool pool = host_pool();
  kvferry::Node client;
  client.add(pool);
  const kvferry::Peer peer = registry.connect(client, name);
  const std::vector<std::uint32_t> ids{3, 1, 4, 15, 9, 2, 6};
  const kvferry::TransferReport report = peer.pull(pool, ids, ids).wait();
  std::cout << report.blocks << " blocks from " << peer.name() << " over " << report.path << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: registry etcd://HOST:2379 NAME\n";
    return 2;
  }
  return run(argv[1], argv[2]);
} catch (const kvferry::Error& error) {
  std::cerr << "registry: " << error.what() << '\n';
  return static_cast<int>(error.code());
}
