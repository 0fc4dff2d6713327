#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"
#include "kvferry/kvferry.hpp"

namespace kvferry {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::uint32_t>;
using std::chrono::milliseconds;

CacheShape tiny() { return {2, 2, 2, 16, 4, DType::bf16}; }

class TempDir {
 public:
  TempDir() {
    char pattern[] = "/tmp/kvferry-node-test-XXXXXX";
    path_ = ::mkdtemp(pattern);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Collects what a node tells, and lets a test wait for it.
class Events {
 public:
  std::function<void(const PeerEvent&)> sink() {
    return [this](const PeerEvent& event) {
      std::lock_guard lock(mutex_);
      events_.push_back(event);
      changed_.notify_all();
    };
  }
  std::optional<PeerEvent> wait_for(PeerEvent::Kind kind) {
    std::unique_lock lock(mutex_);
    std::optional<PeerEvent> found;
    changed_.wait_for(lock, std::chrono::seconds(5), [&] {
      for (const auto& event : events_)
        if (event.kind == kind) found = event;
      return found.has_value();
    });
    return found;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PeerEvent> events_;
};

struct Server {
  explicit Server(const CacheShape& shape = tiny(), bool tcp = false) {
    NodeOptions options;
    options.name = "server";
    options.on_event = events.sink();
    node.emplace(options);
    pool.emplace(Pool::allocate(Device::host(), shape, 8));
    node->add(*pool);
    listen.tcp = tcp;
    listen.port = 0;
    listen.socket_path = dir / "s";
    node->listen(listen);
  }
  std::string address() const { return "unix:" + listen.socket_path; }

  TempDir dir;
  Events events;
  ListenOptions listen;
  std::optional<Pool> pool;
  std::optional<Node> node;
};

ErrorCode code_of(const std::function<void()>& call, std::string* text = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (text != nullptr) *text = error.what();
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::failed;
}

TEST(Node, TcpPortIsASignpostToTheSocket) {
  Server server(tiny(), /*tcp=*/true);
  ASSERT_NE(server.node->port(), 0);
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  const Peer peer = client.connect("127.0.0.1:" + std::to_string(server.node->port()));
  EXPECT_THAT(peer.name(), HasSubstr("server"));
  ASSERT_EQ(peer.pools().size(), 1u);
  EXPECT_EQ(peer.pools()[0].shape, tiny());
  EXPECT_EQ(peer.pools()[0].blocks, 8u);
  EXPECT_EQ(peer.pull(local, Ids{7}, Ids{0}).wait().path, "host_shm");
  const auto served = server.events.wait_for(PeerEvent::Kind::served);
  ASSERT_TRUE(served);
  EXPECT_EQ(served->blocks, 1u);
  EXPECT_EQ(served->path, "host_shm");
}

// Any difference is refused with the field and both values, on both sides, and nothing is mapped.
TEST(Node, EveryGeometryFieldIsCompared) {
  const std::vector<std::pair<std::string, std::function<void(CacheShape&)>>> fields{
      {"layers", [](CacheShape& s) { s.layers = 3; }},
      {"kv", [](CacheShape& s) { s.kv = 1; }},
      {"kv_heads", [](CacheShape& s) { s.kv_heads = 5; }},
      {"head_dim", [](CacheShape& s) { s.head_dim = 17; }},
      {"block_tokens", [](CacheShape& s) { s.block_tokens = 9; }},
      {"dtype", [](CacheShape& s) { s.dtype = DType::fp16; }}};
  for (const auto& [name, change] : fields) {
    Server server;
    CacheShape shape = tiny();
    change(shape);
    Node client;
    client.add(Pool::allocate(Device::host(), shape, 4));
    std::string text;
    EXPECT_EQ(code_of([&] { client.connect(server.address()); }, &text), ErrorCode::refused);
    EXPECT_THAT(text, HasSubstr(name));
    EXPECT_THAT(text, HasSubstr("ours"));
    const auto refused = server.events.wait_for(PeerEvent::Kind::refused);
    ASSERT_TRUE(refused) << name;
    EXPECT_THAT(refused->message, HasSubstr(name));
    // It serves on.
    Node good;
    const Pool local = Pool::allocate(Device::host(), tiny(), 4);
    good.add(local);
    good.connect(server.address()).pull(local, Ids{0}, Ids{0}).wait();
  }
}

TEST(Node, ErrorsOfConnect) {
  TempDir dir;
  Node node;
  std::string text;
  EXPECT_EQ(code_of([&] { node.connect("nonsense"); }), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] { node.connect("unix:" + (dir / "nobody")); }, &text),
            ErrorCode::unreachable);
  EXPECT_THAT(text, HasSubstr("nobody"));
  EXPECT_EQ(code_of([&] { node.connect("127.0.0.1:1"); }), ErrorCode::unreachable);
}

// A listener that never answers, as a stopped process is.
TEST(Node, ConnectKeepsItsDeadline) {
  TempDir dir;
  const std::string path = dir / "mute";
  UniqueFd mute(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(::bind(mute.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(mute.get(), 4), 0);
  Node node;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(code_of([&] { node.connect("unix:" + path, milliseconds(300)); }), ErrorCode::deadline);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(Node, OneListenerPerSocketAndStaleOnesAreTakenOver) {
  Server first;
  ListenOptions listen = first.listen;
  Node second;
  std::string text;
  EXPECT_EQ(code_of([&] { second.listen(listen); }, &text), ErrorCode::resource);
  EXPECT_THAT(text, HasSubstr(listen.socket_path));
  struct stat info{};
  ASSERT_EQ(::stat(listen.socket_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  // What a killed server leaves behind.
  const std::string path = first.dir / "stale";
  {
    UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  listen.socket_path = path;
  EXPECT_NO_THROW(second.listen(listen));
}

TEST(Node, PortInUseAndPublicAddressesAreRefused) {
  Server first(tiny(), /*tcp=*/true);
  Node second;
  ListenOptions listen;
  listen.port = first.node->port();
  listen.socket_path = first.dir / "other";
  std::string text;
  EXPECT_EQ(code_of([&] { second.listen(listen); }, &text), ErrorCode::resource);
  EXPECT_THAT(text, HasSubstr(std::to_string(listen.port)));
  listen.ip = "0.0.0.0";
  listen.port = 0;
  EXPECT_EQ(code_of([&] { second.listen(listen); }, &text), ErrorCode::refused);
  EXPECT_THAT(text, HasSubstr("--insecure"));
  listen.insecure = true;
  EXPECT_NO_THROW(second.listen(listen));
}

TEST(Node, CloseIsSeenByTheOtherSide) {
  Server server;
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  const Peer peer = client.connect(server.address());
  peer.pull(local, Ids{0}, Ids{0}).wait();
  EXPECT_EQ(client.peers().size(), 1u);
  peer.close();
  EXPECT_FALSE(peer.alive());
  const auto gone = server.events.wait_for(PeerEvent::Kind::disconnected);
  ASSERT_TRUE(gone);
  EXPECT_THAT(gone->message, HasSubstr("closed the connection"));
  EXPECT_EQ(code_of([&] { peer.pull(local, Ids{0}, Ids{0}); }), ErrorCode::unreachable);
  // Nobody holds the pool any more: revoking it does not wait.
  EXPECT_NO_THROW(server.pool->revoke(milliseconds(1500)));
}

TEST(Node, TwoPoolsOfOneNameAreRefused) {
  Node node;
  const Pool pool = Pool::allocate(Device::host(), tiny(), 2);
  node.add(pool);
  EXPECT_EQ(code_of([&] { node.add(pool); }), ErrorCode::invalid_argument);
}

TEST(Node, RevokedPoolCanBeServedAgain) {
  Server server;
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  const Peer before = client.connect(server.address());
  before.pull(local, Ids{0}, Ids{0}).wait();
  const auto generation = server.pool->generation();
  server.pool->revoke();
  EXPECT_EQ(server.pool->generation(), generation + 1);
  EXPECT_EQ(code_of([&] { before.pull(local, Ids{0}, Ids{0}); }), ErrorCode::refused);
  server.node->add(*server.pool);
  const Peer after = client.connect(server.address());
  EXPECT_EQ(after.pools().at(0).generation, generation + 1);
  after.pull(local, Ids{0}, Ids{0}).wait();
}

// A transfer that its path refuses must not keep close() waiting for an end it never has.
TEST(Node, CloseBesideTransfersThatDoNotStart) {
  for (int round = 0; round < 5; ++round) {
    Server server;
    Node client;
    const Pool local = Pool::allocate(Device::host(), tiny(), 4);
    client.add(local);
    const Peer peer = client.connect(server.address());
    peer.prepare(local);
    std::atomic<bool> stop{false};
    std::thread caller([&] {
      TransferOptions options;
      options.copy = CopyMethod::engine;  // means nothing in host memory
      while (!stop) {
        EXPECT_THROW(peer.pull(local, Ids{0}, Ids{0}, options), Error);
      }
    });
    std::this_thread::sleep_for(milliseconds(5));
    peer.close();
    stop = true;
    caller.join();
  }
}

TEST(Node, ForeverIsATime) {
  Server server;
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  const Peer peer = client.connect(server.address(), milliseconds::max());
  TransferOptions options;
  options.deadline = std::chrono::nanoseconds::max();
  const Transfer transfer = peer.pull(local, Ids{0}, Ids{0}, options);
  EXPECT_TRUE(transfer.wait_for(std::chrono::nanoseconds::max()));
  EXPECT_EQ(transfer.poll(), TransferState::done);
  EXPECT_NO_THROW(server.pool->revoke(milliseconds::max()));
}

// Both wait until the peer has unmapped; none takes the other's work for done.
TEST(Node, TwoRevokesAtOnce) {
  Server server;
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  client.connect(server.address()).prepare(local);
  std::thread other([&] { server.pool->revoke(); });
  server.pool->revoke();
  other.join();
  EXPECT_EQ(server.pool->generation(), 3u);
}

TEST(Node, PoolsThatDoNotFitAGreetingAreRefused) {
  Node node;
  PoolOptions options;
  options.tag = std::string(256, 't');
  std::string text;
  const auto add_many = [&] {
    for (int i = 0; i < 256; ++i) {
      options.name = "pool-" + std::to_string(i) + std::string(50, 'n');
      node.add(Pool::allocate(Device::host(), tiny(), 1, options));
    }
  };
  EXPECT_EQ(code_of(add_many, &text), ErrorCode::invalid_argument);
  EXPECT_THAT(text, HasSubstr("serve fewer pools"));
  // The last one was not kept: peers can still be greeted.
  TempDir dir;
  ListenOptions listen;
  listen.tcp = false;
  listen.socket_path = dir / "s";
  node.listen(listen);
  Node client;
  EXPECT_NO_THROW(client.connect("unix:" + listen.socket_path));
}

TEST(Node, EventFdIsReadableExactlyWhileSomethingWaits) {
  Server server;
  Node client;
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  const Peer peer = client.connect(server.address());
  const auto readable = [&](int timeout_ms) {
    pollfd entry{client.event_fd(), POLLIN, 0};
    return ::poll(&entry, 1, timeout_ms) == 1;
  };
  EXPECT_FALSE(readable(0));
  TransferOptions options;
  options.notify_completion = true;
  peer.pull(local, Ids{0}, Ids{0}, options).wait();
  peer.pull(local, Ids{1}, Ids{1}, options).wait();
  ASSERT_TRUE(readable(2000));
  EXPECT_TRUE(client.next_completion());
  ASSERT_TRUE(readable(2000));
  EXPECT_TRUE(client.next_completion());
  EXPECT_FALSE(readable(0));
  EXPECT_FALSE(client.next_completion());
}

TEST(NodeOptions, CostsThatTellNoTimeAreRefused) {
  for (const double rate : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    NodeOptions options;
    options.copy_costs.to_host_kernel.gb_per_s = rate;
    try {
      Node node(options);
      FAIL() << rate;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(error.what()).find("copy_costs"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace kvferry
