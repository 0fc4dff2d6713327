// A server whose TCP port is open to other hosts, under fire from strangers: nobody comes in, it
// serves on, and neither memory nor descriptors grow.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "base/unique_fd.hpp"
#include "hostile/footprint.hpp"
#include "kvferry/kvferry.hpp"
#include "session/identity.hpp"
#include "session/test_credentials.hpp"
#include "session/tls_context.hpp"
#include "wire/messages.hpp"

namespace kvferry {
namespace {

using hostile::expect_no_growth_since;
using hostile::Footprint;
using hostile::footprint;
using hostile::tiny;
using session::TestCredentials;
using Bytes = std::vector<unsigned char>;

constexpr int kHandshakes = 10'000;

class HostileNetwork : public ::testing::Test {
 protected:
  void serve(const Credentials& credentials) {
    NodeOptions options;
    options.credentials = credentials;
    options.on_event = [this](const PeerEvent& event) {
      came += event.kind == PeerEvent::Kind::connected ? 1 : 0;
    };
    options.log = [this](LogLevel level, std::string_view) {
      lines += level >= LogLevel::warning ? 1 : 0;
    };
    server = std::make_unique<Node>(options);
    server->add(pool);
    ListenOptions listen;
    listen.port = 0;
    listen.socket_path = files.directory() + "/s";
    listen.insecure = credentials.empty();
    server->listen(listen);
    std::filesystem::remove(listen.socket_path);
  }
  // From an address of 127.0.0.0/8, all of which are ours: of one that fails often nothing is
  // heard.
  UniqueFd dial(std::uint32_t from = INADDR_LOOPBACK) const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(from);
    ::bind(fd.get(), reinterpret_cast<sockaddr*>(&source), sizeof source);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
    timeval patience{2, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }
  // Returns what the server said beyond its signpost.
  std::size_t fire(const Bytes& bytes, std::uint32_t from = INADDR_LOOPBACK) const {
    const UniqueFd fd = dial(from);
    [[maybe_unused]] const auto sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::shutdown(fd.get(), SHUT_WR);
    std::size_t said = 0;
    char answer[4096];
    for (ssize_t got = 0; (got = ::recv(fd.get(), answer, sizeof answer, 0)) > 0;)
      said += static_cast<std::size_t>(got);
    return said;
  }
  // A real client's first flight, to be spoiled.
  Bytes client_hello(const Credentials& credentials) const {
    const auto tls = session::TlsContext::load(credentials, [](const std::string&) {});
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) return {};
    const UniqueFd one(ends[0]), other(ends[1]);
    auto client = tls->connect(one.get(), "s", "127.0.0.1");
    client->handshake();
    Bytes bytes(65536);
    bytes.resize(static_cast<std::size_t>(::recv(other.get(), bytes.data(), bytes.size(), 0)));
    return bytes;
  }
  static Bytes hello_frame() {
    wire::Hello hello;
    hello.pid = 1;
    hello.nonce = session::process_nonce();
    const auto frame = wire::encode(hello);
    Bytes bytes(frame.size());
    std::memcpy(bytes.data(), frame.data(), frame.size());
    return bytes;
  }
  Bytes spoil(Bytes bytes) {
    const auto pick = [&](std::size_t below) { return random() % below; };
    switch (pick(6)) {
      case 0: bytes.resize(pick(bytes.size())); break;
      case 1: bytes[pick(bytes.size())] ^= static_cast<unsigned char>(1u << pick(8)); break;
      case 2:
        for (int i = 0; i < 16; ++i)
          bytes[pick(bytes.size())] = static_cast<unsigned char>(random());
        break;
      case 3:  // a length that promises more
        if (bytes.size() > 5) bytes[3 + pick(2)] = static_cast<unsigned char>(random());
        break;
      case 4:
        for (std::size_t i = 5; i < bytes.size(); ++i)
          bytes[i] = static_cast<unsigned char>(random());
        break;
      default:
        bytes.resize(1 + pick(3000));
        for (auto& b : bytes) b = static_cast<unsigned char>(random());
    }
    return bytes;
  }
  void survive(const Credentials& credentials, const std::vector<Bytes>& good) {
    Footprint before;
    for (int i = 0; i < kHandshakes; ++i) {
      // The allocator settles during the first tenth.
      if (i == kHandshakes / 10) before = footprint();
      fire(spoil(good[random() % good.size()]),
           static_cast<std::uint32_t>(INADDR_LOOPBACK + random() % 60'000));
    }
    expect_no_growth_since(before);
    EXPECT_GE(lines, 20u);
    EXPECT_LE(lines, 200u) << "the log was flooded";
    NodeOptions options;
    options.credentials = credentials;
    Node client(options);
    const Pool local = Pool::allocate(Device::host(), tiny(), 4);
    client.add(local);
    EXPECT_EQ(client.connect("127.0.0.1:" + std::to_string(server->port())).pools().size(), 1u);
    // The server may tell of it a moment after the client has its pools.
    for (int i = 0; i < 5000 && came == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(came, 1u);
  }

  TestCredentials files;
  Pool pool = Pool::allocate(Device::host(), tiny(), 8);
  std::atomic<std::size_t> came = 0, lines = 0;
  std::unique_ptr<Node> server;
  std::mt19937 random{2026};
};

TEST_F(HostileNetwork, TenThousandMalformedHandshakesWithToken) {
  const Credentials token = files.token("a");
  serve(token);
  survive(token, {client_hello(token), client_hello(files.token("b")), hello_frame()});
}

TEST_F(HostileNetwork, TenThousandMalformedHandshakesWithCertificate) {
  const Credentials certificate = files.certificate("a");
  serve(certificate);
  survive(certificate, {client_hello(certificate), client_hello(files.token("b")), hello_frame()});
}

// Where there is a credential, frames of ours without TLS hear nothing: no refusal, no geometry.
// One place that tries again and again is not listened to for long.
TEST_F(HostileNetwork, AFloodFromOnePlaceIsCutShort) {
  serve(files.token("a"));
  const Bytes wrong = client_hello(files.token("b"));
  for (int i = 0; i < 2000; ++i) fire(wrong);
  EXPECT_GE(lines, 4u);
  EXPECT_LE(lines, 12u);
  EXPECT_EQ(came, 0u);
}

TEST_F(HostileNetwork, NothingIsSaidToStrangers) {
  serve(files.token("a"));
  const std::size_t signpost = fire({});
  EXPECT_GT(signpost, 0u);
  EXPECT_EQ(fire(hello_frame()), signpost);
  EXPECT_EQ(came, 0u);
}

// What an attacker in between would like, from a client that knows the secrets: an older TLS. All
// it hears is an alert, whichever credential the server has.
TEST_F(HostileNetwork, NobodyComesInByAnOlderTls) {
  for (const Credentials& credentials : {files.token("a"), files.certificate("b")}) {
    serve(credentials);
    const std::size_t signpost = fire({});
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> old(SSL_CTX_new(TLS_client_method()),
                                                           SSL_CTX_free);
    SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION);
    const UniqueFd fd = dial();
    Bytes head(signpost);
    ASSERT_EQ(::recv(fd.get(), head.data(), head.size(), MSG_WAITALL), ssize_t(signpost));
    const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(old.get()), SSL_free);
    SSL_set_fd(ssl.get(), fd.get());
    EXPECT_NE(SSL_connect(ssl.get()), 1);
    EXPECT_EQ(came, 0u);
    server.reset();
  }
}

// As above, by a certificate that was good once; the server's clock decides.
TEST_F(HostileNetwork, NobodyComesInByAnExpiredCertificate) {
  auto request = TestCredentials::lasting("old");
  request.to = TestCredentials::Clock::now() + std::chrono::milliseconds(1200);
  const Credentials old = files.certificate(request);
  NodeOptions options;
  options.credentials = old;
  Node client(options);  // loaded while it is good
  const Pool local = Pool::allocate(Device::host(), tiny(), 4);
  client.add(local);
  serve(files.certificate("b"));
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_THROW(client.connect("127.0.0.1:" + std::to_string(server->port())), Error);
  EXPECT_EQ(came, 0u);
}

// Connections that say nothing, or stop in the middle, do not keep others out.
TEST_F(HostileNetwork, StalledHandshakesAreBounded) {
  const Credentials token = files.token("a");
  serve(token);
  std::vector<UniqueFd> stalled;
  const Bytes hello = client_hello(token);
  for (int i = 0; i < 600; ++i) {
    stalled.push_back(dial());
    ASSERT_TRUE(stalled.back());
    if (i % 2 == 0) {
      ASSERT_GT(::send(stalled.back().get(), hello.data(), hello.size() / 2, MSG_NOSIGNAL), 0);
    }
  }
  NodeOptions options;
  options.credentials = token;
  Node client(options);
  EXPECT_EQ(client.connect("127.0.0.1:" + std::to_string(server->port())).pools().size(), 1u);
}

}  // namespace
}  // namespace kvferry
