#include "session/tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <random>
#include <thread>

#include "session/data_sessions.hpp"
#include "session/test_credentials.hpp"
#include "session/tls_context.hpp"
#include "session/tls_pair.hpp"

namespace kvferry::session {
namespace {

using testing::HasSubstr;
using Context = std::shared_ptr<const TlsContext>;

Context load(const Credentials& credentials) {
  return TlsContext::load(credentials, [](const std::string&) {});
}

std::optional<KnownKey> no_session(std::string_view) { return std::nullopt; }

class TlsTest : public ::testing::Test {
 protected:
  HandshakeResult meet(const Context& at_server, const Context& at_client,
                       const std::string& dialled = "127.0.0.1") {
    server = at_server->accept(sockets.server.get(), "the client", no_session);
    client = at_client->connect(sockets.client.get(), "the server", dialled);
    return shake(*server, *client);
  }
  void expect_good(const HandshakeResult& result) {
    EXPECT_FALSE(result.server) << result.server->what();
    EXPECT_FALSE(result.client) << result.client->what();
  }

  TestCredentials files;
  SocketPair sockets;
  std::unique_ptr<Tls> server, client;
};

TEST_F(TlsTest, OneTokenLetsIn) {
  const Context both = load(files.token("reader"));
  expect_good(meet(both, both));
  EXPECT_EQ(server->proven().by, Proven::By::token);
  EXPECT_EQ(server->proven().name, "reader");
}

TEST_F(TlsTest, OneOfManyTokensIsTold) {
  const std::string a = files.token_line("a"), b = files.token_line("b");
  Credentials all, one;
  all.token_file = files.write("all", "# comment\n\n" + a + b);
  one.token_file = files.write("one", b);
  expect_good(meet(load(all), load(one)));
  EXPECT_EQ(server->proven().name, "b");
  EXPECT_THROW(load(all)->connect(sockets.client.get(), "x", "y"), Error);
}

TEST_F(TlsTest, AnotherTokenDoesNot) {
  const auto result = meet(load(files.token("a")), load(files.token("b")));
  ASSERT_TRUE(result.server && result.client);
  EXPECT_EQ(result.client->code(), ErrorCode::refused);
  EXPECT_THAT(result.client->what(), HasSubstr("does not know our token"));
  EXPECT_THAT(result.server->what(), HasSubstr("does not have the token"));
}

// "Unknown name" and "wrong secret" must not be told apart.
TEST_F(TlsTest, AWrongSecretFailsLikeAnUnknownName) {
  const Context token = load(files.token("a"));
  const auto context = make_key_client();
  std::array<std::string, 2> said;
  for (int i = 0; i < 2; ++i) {
    SocketPair pair;
    const PresharedKey known{"kvferry-token:1", draw<wire::Secret>()};
    auto at_server = token->accept(pair.server.get(), "c", [&](std::string_view name) {
      std::optional<KnownKey> key;
      if (name == known.identity) key.emplace().key = known.key;
      return key;
    });
    const PresharedKey guessed{i == 0 ? known.identity : "kvferry-token:2", draw<wire::Secret>()};
    auto at_client = Tls::client(*context, pair.client.get(), "s", guessed);
    const auto result = shake(*at_server, *at_client);
    ASSERT_TRUE(result.server && result.client);
    said[static_cast<std::size_t>(i)] = std::string(result.server->what()) + result.client->what();
  }
  EXPECT_EQ(said[0], said[1]);
}

TEST_F(TlsTest, CertificatesOfOneAuthorityLetIn) {
  expect_good(meet(load(files.certificate("prefill-0")), load(files.certificate("decode-3"))));
  EXPECT_EQ(server->proven().by, Proven::By::certificate);
  EXPECT_EQ(server->proven().name, "decode-3");
  EXPECT_EQ(client->proven().name, "prefill-0");
}

TEST_F(TlsTest, ACertificateIsForTheHostThatWasDialled) {
  const Context both = load(files.certificate("prefill-0"));
  for (const char* good : {"127.0.0.1", "localhost", "prefill-0"}) {
    SocketPair pair;
    sockets = std::move(pair);
    expect_good(meet(both, both, good));
  }
  for (const char* bad : {"127.0.0.2", "prefill-1", "::1"}) {
    SocketPair pair;
    sockets = std::move(pair);
    const auto result = meet(both, both, bad);
    ASSERT_TRUE(result.client) << bad;
    EXPECT_EQ(result.client->code(), ErrorCode::refused);
    EXPECT_THAT(result.client->what(), HasSubstr("another host"));
  }
}

TEST_F(TlsTest, AnotherAuthorityDoesNot) {
  const TestCredentials others;
  {
    const auto result = meet(load(others.certificate("x")), load(files.certificate("y")));
    ASSERT_TRUE(result.client);
    EXPECT_THAT(result.client->what(), HasSubstr("not signed by our CA"));
  }
  // A client that believes the server, but is of the other authority.
  const auto made = make_certificate(TestCredentials::lasting("y"),
                                     make_authority(TestCredentials::lasting("other-ca")));
  Credentials mixed = files.certificate("z");
  SocketPair pair;
  sockets = std::move(pair);
  mixed.certificate = files.write("y.pem", made.certificate);
  mixed.key = files.write("y.key", made.key);
  // Loading sees it before anybody is dialled.
  try {
    load(mixed);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("not signed by the authority"));
  }
}

TEST_F(TlsTest, TokenAndCertificateDoNotMix) {
  const Context token = load(files.token("a")), certificate = load(files.certificate("b"));
  for (int i = 0; i < 2; ++i) {
    SocketPair pair;
    sockets = std::move(pair);
    const auto result = i == 0 ? meet(token, certificate) : meet(certificate, token);
    ASSERT_TRUE(result.server) << i;
    ASSERT_TRUE(result.client) << i;
    EXPECT_EQ(result.client->code(), ErrorCode::refused);
  }
}

TEST_F(TlsTest, CertificatesExpireWhileProcessesRun) {
  auto request = TestCredentials::lasting("old");
  request.to = TestCredentials::Clock::now() + std::chrono::milliseconds(1200);
  const Context old = load(files.certificate(request)), young = load(files.certificate("young"));
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  {
    const auto result = meet(young, old);
    ASSERT_TRUE(result.server && result.client);
    EXPECT_THAT(result.server->what(), HasSubstr("'old' expired on 20"));
    EXPECT_THAT(result.client->what(), HasSubstr("our certificate has expired"));
  }
  SocketPair pair;
  sockets = std::move(pair);
  const auto result = meet(old, young);
  ASSERT_TRUE(result.client);
  EXPECT_THAT(result.client->what(), HasSubstr("'old' expired on 20"));
}

// A key of a session, with each kind of credential at the server.
TEST_F(TlsTest, StreamsForDataProveTheirSession) {
  DataSessions sessions;
  const auto opened = sessions.open(7);
  const auto context = make_key_client();
  for (const Context& at_server : {load(files.token("a")), load(files.certificate("b"))}) {
    SocketPair pair;
    const auto find = [&](std::string_view name) { return sessions.find(name); };
    auto one = at_server->accept(pair.server.get(), "c", find);
    auto other =
        Tls::client(*context, pair.client.get(), "s", data_key(opened.session, opened.secret, 3));
    expect_good(shake(*one, *other));
    EXPECT_EQ(one->proven().by, Proven::By::session);
    EXPECT_EQ(one->proven().session, opened.session);
    EXPECT_EQ(one->proven().stream, 3u);
    // Another session's secret.
    SocketPair again;
    one = at_server->accept(again.server.get(), "c", find);
    other = Tls::client(*context, again.client.get(), "s",
                        data_key(opened.session, draw<wire::Secret>(), 4));
    const auto result = shake(*one, *other);
    EXPECT_TRUE(result.server && result.client);
  }
}

// What an attacker in between would like: an older TLS.
TEST_F(TlsTest, OlderVersionsAreRefused) {
  const Context certificate = load(files.certificate("a"));
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> old(SSL_CTX_new(TLS_client_method()),
                                                         SSL_CTX_free);
  SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION);
  auto at_server = certificate->accept(sockets.server.get(), "c", no_session);
  auto at_client = Tls::client(*old, sockets.client.get(), "s", "127.0.0.1");
  const auto result = shake(*at_server, *at_client);
  ASSERT_TRUE(result.server && result.client);
  EXPECT_THAT(result.server->what(), HasSubstr("TLS 1.3"));
}

// A server that shows a certificate, of whatever authority, to a client that has a token.
TEST_F(TlsTest, ATokenIsNotTradedForACertificate) {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> impostor(SSL_CTX_new(TLS_server_method()),
                                                              SSL_CTX_free);
  const Credentials shown = files.certificate("impostor");
  SSL_CTX_use_certificate_chain_file(impostor.get(), shown.certificate.c_str());
  SSL_CTX_use_PrivateKey_file(impostor.get(), shown.key.c_str(), SSL_FILETYPE_PEM);
  auto at_server = Tls::server(*impostor, sockets.server.get(), "c", no_session);
  auto at_client = load(files.token("a"))->connect(sockets.client.get(), "s", "127.0.0.1");
  const auto result = shake(*at_server, *at_client);
  ASSERT_TRUE(result.client);
  EXPECT_EQ(result.client->code(), ErrorCode::refused);
}

TEST_F(TlsTest, BytesArriveAsTheyLeft) {
  const Context both = load(files.token("reader"));
  expect_good(meet(both, both));
  std::mt19937 random(5);
  std::vector<std::byte> sent(3'000'000), got(sent.size());
  for (auto& b : sent) b = static_cast<std::byte>(random());
  std::size_t out = 0, in = 0;
  while (in < got.size()) {
    // Pieces of 0 to 40,000 bytes, as rows of blocks come.
    std::vector<std::span<const std::byte>> pieces;
    for (std::size_t at = out; at < sent.size() && pieces.size() < 9;) {
      const auto bytes = std::min<std::size_t>(random() % 40'000, sent.size() - at);
      pieces.push_back(std::span(sent).subspan(at, bytes));
      at += bytes;
    }
    out += client->write(pieces);
    client->flush();
    in += server->read(
        std::span(got).subspan(in, std::min<std::size_t>(1 + random() % 100'000, got.size() - in)));
  }
  EXPECT_TRUE(sent == got);
  // And the end of the stream.
  client.reset();
  sockets.client.reset();
  EXPECT_THROW(server->read(got), Error);
}

TEST_F(TlsTest, NoiseIsRefused) {
  const Context token = load(files.token("a"));
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    SocketPair pair;
    auto at_server = token->accept(pair.server.get(), "c", no_session);
    std::vector<unsigned char> noise(1 + random() % 600);
    for (auto& b : noise) b = static_cast<unsigned char>(random());
    noise[0] = 22;
    if (noise.size() > 6 && random() % 2) noise[1] = 3, noise[2] = 1, noise[3] = 0, noise[5] = 1;
    ASSERT_EQ(::send(pair.client.get(), noise.data(), noise.size(), 0), noise.size());
    pair.client.reset();
    EXPECT_THROW(
        {
          for (int k = 0; k < 5; ++k) at_server->handshake();
        },
        Error);
  }
}

}  // namespace
}  // namespace kvferry::session
