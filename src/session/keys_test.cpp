#include "session/keys.hpp"

#include <gtest/gtest.h>

#include "session/data_sessions.hpp"

namespace kvferry::session {
namespace {

TEST(Keys, ExpandIsHkdf) {
  // RFC 5869, test case 1: its PRK and info, the first 32 bytes of its OKM.
  constexpr std::array<unsigned char, 32> kPrk = {0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf,
                                                  0x0d, 0xdc, 0x3f, 0x0d, 0xc4, 0x7b, 0xba, 0x63,
                                                  0x90, 0xb6, 0xc7, 0x3b, 0xb5, 0x0f, 0x9c, 0x31,
                                                  0x22, 0xec, 0x84, 0x4a, 0xd7, 0xc2, 0xb3, 0xe5};
  constexpr std::array<unsigned char, 32> kOkm = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a,
                                                  0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
                                                  0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c,
                                                  0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf};
  const std::string info = "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9";
  EXPECT_TRUE(same(expand(std::as_bytes(std::span(kPrk)), info), std::as_bytes(std::span(kOkm))));
}

TEST(Keys, DataIdentitiesComeBack) {
  const auto session = draw<wire::Id>();
  const auto key = data_key(session, draw<wire::Secret>(), 4'000'000'000u);
  wire::Id back{};
  std::uint32_t stream = 0;
  ASSERT_TRUE(parse_data_identity(key.identity, back, stream));
  EXPECT_EQ(back, session);
  EXPECT_EQ(stream, 4'000'000'000u);
  for (const std::string& bad : {std::string("kvferry-data:"), std::string("kvferry-token:00"),
                                 key.identity + "x", key.identity + "0", key.identity.substr(0, 45),
                                 "kvferry-data:" + std::string(32, 'g') + ":1"})
    EXPECT_FALSE(parse_data_identity(bad, back, stream)) << bad;
}

TEST(Keys, SecretsThatDifferAreNotTheSame) {
  auto a = draw<wire::Secret>();
  auto b = a;
  EXPECT_TRUE(same(a, b));
  b.back() ^= std::byte{1};
  EXPECT_FALSE(same(a, b));
  EXPECT_FALSE(same(a, std::span(a).first(31)));
}

TEST(DataSessions, AJoinProvesItsSessionOnce) {
  DataSessions sessions;
  const auto opened = sessions.open(42);
  const auto join = [&](std::uint32_t stream) {
    return wire::Join{opened.session, stream, join_proof(opened.session, opened.secret, stream)};
  };
  EXPECT_TRUE(sessions.proves(join(0)));
  EXPECT_TRUE(sessions.proves(join(5)));
  auto forged = join(1);
  forged.stream = 2;  // overheard for another stream
  EXPECT_FALSE(sessions.proves(forged));
  EXPECT_FALSE(sessions.proves({draw<wire::Id>(), 0, draw<wire::Secret>()}));
  // A session that does not exist is not proved by the key that stands in for it.
  const auto id = draw<wire::Id>();
  EXPECT_FALSE(sessions.proves({id, 0, join_proof(id, wire::Secret{}, 0)}));

  EXPECT_EQ(sessions.admit(opened.session, 5), 42u);
  EXPECT_EQ(sessions.admit(opened.session, 5), std::nullopt);  // replayed
  for (std::uint32_t i = 0; i < 5; ++i) EXPECT_EQ(sessions.admit(opened.session, i), 42u);
  EXPECT_EQ(sessions.admit(opened.session, 0), std::nullopt);
  EXPECT_EQ(sessions.admit(opened.session, 5), std::nullopt);
  EXPECT_EQ(sessions.admit(opened.session, 6), 42u);
  // Streams that were never there are not waited for, and what is remembered stays bounded.
  for (std::uint32_t i = 8; i < 20'000; ++i) EXPECT_EQ(sessions.admit(opened.session, i), 42u);
  EXPECT_EQ(sessions.admit(opened.session, 7), std::nullopt);
  EXPECT_EQ(sessions.admit(opened.session, 1'000'000), 42u);
  EXPECT_EQ(sessions.admit(opened.session, 20'000), std::nullopt);
  EXPECT_EQ(sessions.admit(opened.session, 999'999), 42u);
  EXPECT_EQ(sessions.admit(opened.session, 999'999), std::nullopt);
  sessions.close(opened.session);
  EXPECT_EQ(sessions.admit(opened.session, 1'000'001), std::nullopt);
  EXPECT_FALSE(sessions.proves(join(7)));
}

}  // namespace
}  // namespace kvferry::session
