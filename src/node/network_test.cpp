// Nodes that meet over TCP. There is one host here, so the Unix socket is taken away once a server
// listens: its peers then do as peers of other hosts.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"
#include "kvferry/kvferry.hpp"
#include "session/identity.hpp"
#include "session/test_credentials.hpp"
#include "wire/messages.hpp"

namespace kvferry {
namespace {

using session::TestCredentials;
using testing::AllOf;
using testing::HasSubstr;
using namespace std::chrono_literals;

CacheShape tiny() { return {2, 2, 2, 16, 4, DType::bf16}; }

// What a node says, for a test to wait for.
class Heard {
 public:
  NodeOptions options(const Credentials& credentials, std::chrono::milliseconds silence = 15s) {
    NodeOptions o;
    o.credentials = credentials;
    o.peer_silence = silence;
    o.log = [this](LogLevel level, std::string_view text) {
      if (level >= LogLevel::warning) add(std::string(text));
    };
    o.on_event = [this](const PeerEvent& e) {
      const bool gone = e.kind == PeerEvent::Kind::disconnected;
      add((gone                                   ? "gone: "
           : e.kind == PeerEvent::Kind::connected ? "came: "
                                                  : "refused: ") +
          e.peer + " " + e.message);
    };
    return o;
  }
  bool wait_for(const std::string& part, std::chrono::seconds time = 10s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return all_.find(part) != std::string::npos; });
  }
  std::string all() {
    std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  void add(const std::string& line) {
    std::lock_guard lock(mutex_);
    all_ += line + "\n";
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string all_;
};

class Network : public ::testing::Test {
 protected:
  void serve(const Credentials& credentials, const std::vector<Permission>& permissions = {},
             std::chrono::milliseconds silence = 15s) {
    server = std::make_unique<Node>(heard.options(credentials, silence));
    server->add(pool);
    server->add(secret);
    ListenOptions listen;
    listen.port = 0;
    listen.socket_path = files.directory() + "/s";
    listen.insecure = credentials.empty();
    listen.permissions = permissions;
    server->listen(listen);
    std::filesystem::remove(listen.socket_path);
    address = "127.0.0.1:" + std::to_string(server->port());
  }
  std::unique_ptr<Node> client(const Credentials& credentials) {
    NodeOptions options;
    options.credentials = credentials;
    options.name = "client";
    auto node = std::make_unique<Node>(options);
    node->add(local);
    return node;
  }
  std::string refusal(const Credentials& credentials) {
    try {
      client(credentials)->connect(address);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::refused) << error.what();
      return error.what();
    }
    return "let in";
  }

  TestCredentials files;
  Heard heard;
  PoolOptions writable{.name = "kv", .tag = "t", .writable = true}, hidden{.name = "secret"};
  Pool pool = Pool::allocate(Device::host(), tiny(), 8, writable);
  Pool secret = Pool::allocate(Device::host(), tiny(), 8, hidden);
  Pool local = Pool::allocate(Device::host(), tiny(), 4);
  std::unique_ptr<Node> server;
  std::string address;
};

TEST_F(Network, PeersMeetByToken) {
  const Credentials token = files.token("reader");
  serve(token);
  const auto node = client(token);
  const Peer peer = node->connect(address);
  EXPECT_EQ(peer.pools().size(), 2u);
  EXPECT_TRUE(peer.pools()[0].writable);
  EXPECT_TRUE(heard.wait_for("came: client (127.0.0.1:"));
  EXPECT_THAT(heard.all(), HasSubstr("token 'reader'"));
  const auto pairs = peer.explain();
  ASSERT_EQ(pairs.size(), 1u);
  for (const PathVerdict& verdict : pairs[0].verdicts) {
    if (verdict.path != "host_shm" && verdict.path != "cuda_ipc") continue;
    EXPECT_FALSE(verdict.usable);
    EXPECT_THAT(verdict.reason,
                testing::AnyOf(HasSubstr("reached over TCP"), HasSubstr("built without CUDA")));
  }
  peer.close();
  EXPECT_TRUE(heard.wait_for("closed the connection"));
}

TEST_F(Network, PeersMeetByCertificate) {
  serve(files.certificate("prefill-0"));
  const auto node = client(files.certificate("decode-1"));
  const Peer peer = node->connect(address);
  EXPECT_TRUE(heard.wait_for("certificate 'decode-1'"));
}

TEST_F(Network, APeerSeesWhatItMay) {
  serve(files.token("reader"), {{"reader", true, false, {"kv"}}});
  Credentials token;
  token.token_file = files.directory() + "/reader.token";
  const auto node = client(token);
  const auto pools = node->connect(address).pools();
  ASSERT_EQ(pools.size(), 1u);
  EXPECT_EQ(pools[0].name, "kv");
  EXPECT_FALSE(pools[0].writable);
}

TEST_F(Network, WhoMayOnlyWriteIsRefusedToRead) {
  serve(files.token("loader"), {{"loader", false, true, {}}});
  Credentials token;
  token.token_file = files.directory() + "/loader.token";
  const auto node = client(token);
  const Peer peer = node->connect(address);
  const std::vector<std::uint32_t> ids{1};
  const Transfer pull = peer.pull(local, ids, ids);
  try {
    pull.wait();
    ADD_FAILURE() << "it could read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused) << error.what();
  }
  EXPECT_EQ(pull.poll(), TransferState::failed);
}

TEST_F(Network, StrangersLearnNothing) {
  serve(files.token("a"));
  EXPECT_THAT(refusal(files.token("b")), HasSubstr("does not know our token"));
  EXPECT_THAT(refusal({}), HasSubstr("wants a token (--token-file)"));
  EXPECT_THAT(refusal(files.certificate("c")), HasSubstr("wants a token"));
  EXPECT_TRUE(heard.wait_for("the client does not have the token"));
  EXPECT_THAT(heard.all(), testing::Not(HasSubstr("came")));
}

TEST_F(Network, ACertificateOfAnotherAuthorityIsTurnedAway) {
  serve(files.certificate("server"));
  const TestCredentials others;
  EXPECT_THAT(refusal(others.certificate("x")), HasSubstr("not signed by our CA"));
  // One that trusts the server's authority, but is of its own.
  Credentials mixed = others.certificate("y");
  mixed.authority = files.write("both.pem", [&] {
    std::string text;
    for (const std::string& name : {files.directory(), others.directory()}) {
      std::ifstream in(name + "/ca.pem");
      text.append(std::istreambuf_iterator<char>(in), {});
    }
    return text;
  }());
  EXPECT_THAT(refusal(mixed), HasSubstr("our certificate is not signed by its CA"));
  EXPECT_TRUE(heard.wait_for("'y' is not signed by our CA", 2s)) << heard.all();
}

TEST_F(Network, TheServersNameCounts) {
  auto request = TestCredentials::lasting("prefill-0");
  request.hosts = {"10.9.8.7"};
  serve(files.certificate(request));
  const Credentials ours = files.certificate("decode-1");
  EXPECT_THAT(refusal(ours), HasSubstr("for another host than the one that was dialled"));
  ConnectOptions options;
  options.server_name = "prefill-0";
  EXPECT_NO_THROW(client(ours)->connect(address, options));
}

TEST_F(Network, InsecureIsSaidAndLetsIn) {
  serve({});
  EXPECT_THAT(heard.all(), HasSubstr("insecure: anyone who reaches 127.0.0.1 port"));
  const auto node = client({});
  EXPECT_EQ(node->connect(address).pools().size(), 2u);
  EXPECT_THAT(refusal(files.token("a")), HasSubstr("we do not fall back"));
}

TEST_F(Network, GeometriesAreCompared) {
  const Credentials token = files.token("a");
  serve(token);
  CacheShape other = tiny();
  other.layers = 3;
  local = Pool::allocate(Device::host(), other, 4);
  EXPECT_THAT(refusal(token), AllOf(HasSubstr("layers"), HasSubstr("geometries differ")));
}

// A peer that neither we nor its kernel can call dead: it takes everything and says nothing.
TEST_F(Network, ASilentPeerIsGivenUp) {
  serve({}, {}, 1s);
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in end{};
  end.sin_family = AF_INET;
  end.sin_port = htons(server->port());
  end.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&end), sizeof end), 0);
  wire::Hello hello;
  hello.pid = 1;
  hello.nonce = session::process_nonce();
  const auto frame = wire::encode(hello);
  ASSERT_EQ(::send(fd.get(), frame.data(), frame.size(), 0), frame.size());
  EXPECT_TRUE(heard.wait_for("gone: "));
  EXPECT_THAT(heard.all(), HasSubstr("has said nothing for"));
}

// One that answers is not, however little else it says.
TEST_F(Network, AQuietPeerStays) {
  const Credentials token = files.token("a");
  serve(token, {}, 1s);
  const auto node = client(token);
  const Peer peer = node->connect(address);
  std::this_thread::sleep_for(2500ms);
  EXPECT_TRUE(peer.alive());
  EXPECT_THAT(heard.all(), testing::Not(HasSubstr("gone")));
}

TEST_F(Network, ATransferUsesAsManyStreamsAsItSaysOrItsNode) {
  const Credentials token = files.token("a");
  serve(token);
  const auto streams_of = [&](unsigned of_node, unsigned of_transfer, unsigned threads = 2) {
    NodeOptions options;
    options.credentials = token;
    options.network.streams = of_node;
    options.network.threads = threads;
    Node node(options);
    node.add(local);
    TransferOptions transfer;
    transfer.streams = of_transfer;
    const std::vector<std::uint32_t> ids{1, 3};
    const Peer peer = node.connect(address);
    Transfer pull = peer.pull(local, ids, ids, transfer);
    pull.wait();
    return pull.report().method;
  };
  EXPECT_THAT(streams_of(0, 0), HasSubstr("2 tls streams"));
  EXPECT_THAT(streams_of(0, 0, 6), HasSubstr("3 tls streams"));
  EXPECT_THAT(streams_of(0, 0, 16), HasSubstr("4 tls streams"));
  EXPECT_THAT(streams_of(3, 0), HasSubstr("3 tls streams"));
  EXPECT_THAT(streams_of(3, 1), HasSubstr("1 tls stream,"));
  EXPECT_THAT(streams_of(0, 4), HasSubstr("4 tls streams"));
}

TEST_F(Network, ManyComeAndGo) {
  const Credentials token = files.token("a");
  serve(token);
  std::vector<std::thread> threads;
  std::atomic<int> met = 0;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      const auto node = client(token);
      for (int k = 0; k < 10; ++k) {
        const Peer peer = node->connect(address);
        met += peer.pools().size() == 2 ? 1 : 0;
        peer.close();
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(met, 80);
}

}  // namespace
}  // namespace kvferry
