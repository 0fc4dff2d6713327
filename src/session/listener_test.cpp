// A listener and its diallers, on one I/O context: the doors before any Hello.
#include "session/listener.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <asio/co_spawn.hpp>
#include <asio/connect.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>
#include <thread>

#include "session/dial.hpp"
#include "session/loopback.hpp"
#include "session/signpost.hpp"
#include "session/test_credentials.hpp"

namespace kvferry::session {
namespace {

using asio::ip::tcp;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

class ListenerTest : public ::testing::Test {
 protected:
  void listen(const Credentials& credentials, bool insecure = false,
              const std::vector<Permission>& permissions = {}) {
    Listener::Setup setup;
    setup.options.port = 0;
    setup.options.socket_path = files.directory() + "/s";
    setup.options.insecure = insecure;
    setup.options.permissions = permissions;
    setup.tls = load(credentials);
    setup.sessions = sessions;
    setup.on_control = [this](std::shared_ptr<Channel> channel, Caller caller, auto first) {
      channels.push_back(std::move(channel));
      callers.push_back(std::move(caller));
      heard_first.push_back(first.has_value());
    };
    setup.on_data = [this](std::uint64_t peer, std::uint32_t stream, DataStream data) {
      data_of.emplace_back(peer, stream);
      streams.push_back(std::move(data));
    };
    setup.log = [this](LogLevel, const std::string& text) { logged.push_back(text); };
    listener.emplace(io, std::move(setup));
    // As on another host: there is no socket to open.
    std::filesystem::remove(files.directory() + "/s");
  }
  static std::shared_ptr<const TlsContext> load(const Credentials& credentials) {
    return TlsContext::load(credentials, [](const std::string&) {});
  }
  Address address() const { return {false, {}, host, listener->port()}; }

  // Empty, or why not.
  std::string dial_with(const Credentials& credentials, bool insecure = false) {
    DialOptions options;
    options.until = std::chrono::steady_clock::now() + 5s;
    options.tls = load(credentials);
    options.insecure = insecure;
    return run([this, options]() -> asio::awaitable<void> {
      const Address where = address();
      dialled.emplace(co_await dial(where, options));
    });
  }
  template <typename F>
  std::string run(F body) {
    auto result = asio::co_spawn(io, body, asio::use_future);
    io.restart();
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (result.wait_for(0s) != std::future_status::ready &&
           std::chrono::steady_clock::now() < until)
      io.run_one_for(100ms);
    try {
      result.get();
    } catch (const Error& error) {
      code = error.code();
      return error.what();
    }
    return {};
  }
  // What must not happen has had its time; what must happen is waited for.
  void settle() {
    io.restart();
    io.run_for(100ms);
  }
  template <typename F>
  void wait_for(F happened) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!happened() && std::chrono::steady_clock::now() < until) settle();
  }
  wire::DataDoor door(const DataSessions::Opened& opened, bool encrypted) const {
    return {opened.session, opened.secret, listener->ip(), listener->port(), encrypted};
  }
  std::string open_stream(const wire::DataDoor& to, std::uint32_t stream) {
    return run([this, to, stream]() -> asio::awaitable<void> {
      const auto until = std::chrono::steady_clock::now() + 5s;
      const Address nowhere_else;
      ours.emplace_back(co_await dialler.open(to, nowhere_else, stream, until));
    });
  }

  TestCredentials files;
  asio::io_context io{1};
  std::shared_ptr<DataSessions> sessions = std::make_shared<DataSessions>();
  std::optional<Listener> listener;
  std::vector<std::shared_ptr<Channel>> channels;
  std::vector<Caller> callers;
  std::vector<bool> heard_first;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> data_of;
  std::vector<DataStream> streams, ours;
  std::vector<std::string> logged;
  std::optional<Dialled> dialled;
  DataDialler dialler;
  std::string host = "127.0.0.1";
  ErrorCode code{};
};

TEST_F(ListenerTest, ATokenLetsIn) {
  const Credentials token = files.token("reader");
  listen(token, false, {{"reader", true, false, {"kv"}}});
  ASSERT_EQ(dial_with(token), "");
  wait_for([&] { return !callers.empty(); });
  ASSERT_EQ(callers.size(), 1u);
  EXPECT_TRUE(callers[0].over_network && callers[0].encrypted);
  EXPECT_THAT(callers[0].describe(), HasSubstr("token 'reader'"));
  EXPECT_FALSE(callers[0].may(Direction::push, "kv"));
  EXPECT_TRUE(dialled->who.over_network && dialled->who.encrypted);
  // And messages pass.
  dialled->channel->send(wire::Goodbye{"x"});
  EXPECT_EQ(run([this]() -> asio::awaitable<void> {
              const Received got = co_await channels[0]->receive();
              EXPECT_TRUE(std::holds_alternative<wire::Goodbye>(got.message));
            }),
            "");
}

TEST_F(ListenerTest, LongMessagesArriveWhole) {
  const Credentials token = files.token("a");
  listen(token);
  ASSERT_EQ(dial_with(token), "");
  wait_for([&] { return !channels.empty(); });
  channels[0]->set_established();
  for (const std::uint32_t runs : {2000u, 2100u, 100'000u, 120'000u}) {
    wire::MoveRuns sent{7, {}};
    for (std::uint32_t i = 0; i < runs; ++i) sent.runs.push_back({2 * i, 1});
    dialled->channel->send(sent);
    EXPECT_EQ(run([&]() -> asio::awaitable<void> {
                const Received got = co_await channels[0]->receive();
                EXPECT_TRUE(got.message == wire::Message(sent)) << runs;
              }),
              "");
  }
}

TEST_F(ListenerTest, WithoutPermissionNobodyComesIn) {
  const std::string reader = TestCredentials::token_line("reader");
  Credentials both, one;
  one.token_file = files.write("one", reader);
  both.token_file = files.write("both", reader + TestCredentials::token_line("writer"));
  listen(both, false, {{"writer", true, true, {}}});
  dial_with(one);
  wait_for([&] { return !logged.empty(); });
  EXPECT_TRUE(callers.empty());
  ASSERT_FALSE(logged.empty());
  EXPECT_THAT(logged[0], HasSubstr("token 'reader' has no permission here"));
}

TEST_F(ListenerTest, APermissionForATokenThatIsNotThereIsAMistake) {
  try {
    listen(files.token("reader"), false, {{"*", true, true, {}}, {"readr", true, true, {}}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(),
                HasSubstr("'readr', but the token file has no such name; it has reader"));
  }
}

TEST_F(ListenerTest, EachRefusalSaysWhatToDo) {
  struct Case {
    Credentials server, client;
    bool server_insecure, client_insecure;
    const char* why;
  };
  const Credentials none, a = files.token("a"), b = files.token("b"), c = files.certificate("c");
  Credentials two = a;
  two.token_file =
      files.write("two", TestCredentials::token_line("x") + TestCredentials::token_line("y"));
  for (const Case& test :
       {// Where it serves its own host only, there is no other way.
        Case{none, none, false, true, "its Unix socket"},
        Case{none, a, false, true, "its Unix socket"},
        Case{none, a, true, true, "we do not fall back to an unencrypted connection"},
        Case{a, none, false, true, "wants a token (--token-file); give the one it knows"},
        Case{c, none, false, false, "wants a certificate (--tls-cert"},
        Case{c, a, false, false, "wants a certificate"}, Case{a, c, false, false, "wants a token"},
        Case{a, b, false, false, "does not know our token"},
        Case{a, two, false, false, "a file with one token; this one has 2"}}) {
    listener.reset();
    callers.clear();
    listen(test.server, test.server_insecure);
    EXPECT_THAT(dial_with(test.client, test.client_insecure), HasSubstr(test.why));
    EXPECT_NE(code, ErrorCode::deadline) << test.why;
    settle();
    EXPECT_TRUE(callers.empty()) << test.why;
  }
}

TEST_F(ListenerTest, InsecureLetsInWhoeverSaysHello) {
  listen({}, true);
  ASSERT_EQ(dial_with({}), "");  // loopback: nobody is on the way
  wire::Hello hello;
  hello.pid = 1;
  hello.nonce = process_nonce();
  dialled->channel->send(hello);
  wait_for([&] { return !callers.empty(); });
  ASSERT_EQ(callers.size(), 1u);
  EXPECT_TRUE(callers[0].over_network);
  EXPECT_FALSE(callers[0].encrypted);
  EXPECT_TRUE(heard_first[0]);
}

// The same address as IPv6 writes it.
TEST_F(ListenerTest, MappedLoopbackIsLoopback) {
  listen({}, true);
  host = "::ffff:127.0.0.1";
  ASSERT_EQ(dial_with({}), "");
  EXPECT_TRUE(is_loopback(asio::ip::make_address(host)));
  EXPECT_FALSE(is_loopback(asio::ip::make_address("::ffff:10.0.0.1")));
  EXPECT_FALSE(is_loopback(asio::ip::make_address("::ffff:0.0.0.0")));
}

TEST_F(ListenerTest, WhoClosesWithoutAnAnswerIsNotSaidToBeAbsent) {
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  bool by_reset = false;
  const auto dial_closer = [&] {
    acceptor.async_accept([&](std::error_code error, tcp::socket socket) {
      ASSERT_FALSE(error);
      if (by_reset) socket.set_option(asio::socket_base::linger(true, 0));
      socket.close();
    });
    return run([&]() -> asio::awaitable<void> {
      const Address where{false, {}, "127.0.0.1", acceptor.local_endpoint().port()};
      co_await reach_listener(where, std::chrono::steady_clock::now() + 5s);
    });
  };
  for (const bool reset : {false, true}) {
    by_reset = reset;
    EXPECT_THAT(dial_closer(),
                AllOf(HasSubstr("closed it before it answered"), Not(HasSubstr("End of file")),
                      Not(HasSubstr("is the server running"))));
    EXPECT_EQ(code, ErrorCode::unreachable);
  }
}

TEST_F(ListenerTest, OneCannotBeInsecureWithACredential) {
  EXPECT_THROW(listen(files.token("a"), true), Error);
  EXPECT_THROW(listen({}, false, {{"a", true, true, {}}}), Error);
}

// Frames of ours where TLS is wanted: whoever changes a signpost on the way gets no further.
TEST_F(ListenerTest, PlainFramesAreNotTakenWhereThereIsACredential) {
  listen(files.token("a"));
  wire::Hello hello;
  hello.pid = 1;
  hello.nonce = process_nonce();
  for (const auto& frame :
       {wire::encode(hello), wire::encode(wire::Join{draw<wire::Id>(), 0, draw<wire::Secret>()}),
        wire::encode(wire::Goodbye{})}) {
    EXPECT_EQ(
        run([&]() -> asio::awaitable<void> {
          const Address where = address();
          Reached reached = co_await reach_listener(where, std::chrono::steady_clock::now() + 5s);
          co_await asio::async_write(reached.socket, asio::buffer(frame), asio::use_awaitable);
          std::array<char, 16> answer;
          std::error_code error;
          const auto got = co_await reached.socket.async_read_some(
              asio::buffer(answer), asio::redirect_error(asio::use_awaitable, error));
          EXPECT_EQ(got, 0u) << "nothing is said to strangers";
        }),
        "");
  }
  EXPECT_TRUE(callers.empty() && streams.empty());
}

TEST_F(ListenerTest, StreamsForDataJoinTheirSession) {
  Credentials plain = files.token("p");
  plain.plain_data = true;
  for (const Credentials& credentials :
       {Credentials{}, files.token("t"), files.certificate("c"), plain}) {
    listener.reset();
    streams.clear();
    ours.clear();
    data_of.clear();
    listen(credentials);
    const bool encrypted = !credentials.empty() && !credentials.plain_data;
    const auto opened = sessions->open(9);
    EXPECT_EQ(open_stream(door(opened, encrypted), 0), "");
    EXPECT_EQ(open_stream(door(opened, encrypted), 1), "");
    wait_for([&] { return data_of.size() == 2; });
    ASSERT_EQ(data_of, (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{9, 0}, {9, 1}}));
    EXPECT_EQ(streams[0].tls != nullptr, encrypted);
    // A byte each way, without another word.
    const std::array<std::byte, 1> sent{std::byte{42}};
    for (auto [from, to] : {std::pair{&ours[1], &streams[1]}, std::pair{&streams[0], &ours[0]}}) {
      if (encrypted) {
        from->tls->write(sent);
      } else {
        ASSERT_EQ(::send(from->socket.get(), sent.data(), 1, 0), 1);
      }
      std::array<std::byte, 4> got{};
      std::size_t bytes = 0;
      for (int i = 0; i < 2000 && bytes == 0; ++i) {
        std::this_thread::sleep_for(1ms);
        bytes = encrypted ? to->tls->read(got)
                          : static_cast<std::size_t>(std::max<ssize_t>(
                                0, ::recv(to->socket.get(), got.data(), 4, MSG_DONTWAIT)));
      }
      EXPECT_EQ(bytes, 1u);
      EXPECT_EQ(got[0], sent[0]);
    }
  }
}

TEST_F(ListenerTest, StreamsOfOthersDoNot) {
  listen(files.token("t"));
  auto opened = sessions->open(9);
  const wire::DataDoor real = door(opened, true);
  wire::DataDoor wrong = real;
  wrong.secret = draw<wire::Secret>();
  EXPECT_NE(open_stream(wrong, 0), "");
  EXPECT_EQ(code, ErrorCode::refused);
  wrong = real;
  wrong.session = draw<wire::Id>();
  EXPECT_NE(open_stream(wrong, 0), "");
  EXPECT_EQ(open_stream(real, 0), "");
  open_stream(real, 0);  // of a number that was used
  sessions->close(opened.session);
  EXPECT_NE(open_stream(real, 1), "");
  settle();
  EXPECT_EQ(data_of.size(), 1u);
}

// A flood of failures from one place is cut short, and does not fill the log.
TEST_F(ListenerTest, FailuresAreBoundedAndLoggedSparsely) {
  const Credentials right = files.token("a"), wrong = files.token("b");
  listen(right);
  for (int i = 0; i < 40; ++i) dial_with(wrong);
  wait_for([&] { return logged.size() >= 2; });
  EXPECT_LE(logged.size(), 6u);
  EXPECT_THAT(logged[0], HasSubstr("a connection from 127.0.0.1:"));
  EXPECT_THAT(logged[1], HasSubstr("(2 such from 127.0.0.1 by now)"));
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(dial_with(right), "");
}

}  // namespace
}  // namespace kvferry::session
