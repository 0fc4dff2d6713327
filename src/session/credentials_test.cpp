// Credentials in files: what is taken, and what is refused before anybody is dialled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/attempts.hpp"
#include "session/identity.hpp"
#include "session/test_credentials.hpp"
#include "session/tls_context.hpp"

namespace kvferry::session {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string refusal(const Credentials& credentials) {
  try {
    TlsContext::load(credentials, [](const std::string&) {});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "accepted";
}

TEST(TokenFile, LinesAreNamesAndSecrets) {
  const std::string secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const auto tokens = parse_tokens("# two\n\n a " + secret + " \r\nb\t" + secret, "f");
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].name, "a");
  ASSERT_EQ(tokens[1].secret.size(), 32u);
  EXPECT_EQ(tokens[1].secret[31], std::byte{31});
  EXPECT_EQ(to_base64(tokens[1].secret), secret);
}

TEST(TokenFile, SaysWhatIsWrongAndNeverTheSecret) {
  const std::string secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const auto why = [](const std::string& text) -> std::string {
    try {
      parse_tokens(text, "f");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(why(""), HasSubstr("no token"));
  EXPECT_THAT(why("a"), HasSubstr("line 1: the secret is not base64"));
  EXPECT_THAT(why("\na/b " + secret), HasSubstr("line 2: the name"));
  EXPECT_THAT(why("a AAAA"), HasSubstr("has 3 bytes; give 32"));
  EXPECT_THAT(why("a " + secret.substr(0, 40)), HasSubstr("has 30 bytes"));
  EXPECT_THAT(why("a " + secret + " read"), HasSubstr("more behind"));
  EXPECT_THAT(why("a " + secret + "\na " + secret), HasSubstr("line 2: this name"));
  for (const std::string& text : {"a *" + secret.substr(1), "a " + secret + "A"})
    EXPECT_THAT(why(text), AllOf(HasSubstr("not base64"), Not(HasSubstr("AAEC"))));
}

TEST(CredentialFiles, OthersMustNotReadSecrets) {
  const TestCredentials files;
  Credentials token;
  token.token_file = files.write("t", TestCredentials::token_line("a"), 0640);
  EXPECT_THAT(refusal(token), AllOf(HasSubstr("mode 0640"), HasSubstr("chmod 600")));
  Credentials certificate = files.certificate("x");
  ::chmod(certificate.key.c_str(), 0604);
  EXPECT_THAT(refusal(certificate), HasSubstr("mode 0604"));
  token.token_file = files.directory();
  EXPECT_THAT(refusal(token), HasSubstr("no regular file"));
  token.token_file = files.directory() + "/none";
  EXPECT_THAT(refusal(token), HasSubstr("No such file"));
  token.token_file = files.write("big", std::string((1u << 20) + 1, '#'));
  EXPECT_THAT(refusal(token), HasSubstr("larger than 1 MiB"));
}

TEST(CredentialFiles, AreOneKindAndWhole) {
  const TestCredentials files;
  Credentials both = files.certificate("x");
  both.token_file = files.token("t").token_file;
  EXPECT_THAT(refusal(both), HasSubstr("not both"));
  Credentials part = files.certificate("x");
  part.authority.clear();
  EXPECT_THAT(refusal(part), HasSubstr("all three"));
  Credentials none;
  EXPECT_EQ(refusal(none), "accepted");
  none.plain_data = true;
  EXPECT_THAT(refusal(none), HasSubstr("needs a credential"));
}

TEST(CredentialFiles, CertificatesAreCheckedBeforeAPeerDoes) {
  const TestCredentials files;
  Credentials wrong = files.certificate("x");
  wrong.key = files.certificate("y").key;
  EXPECT_THAT(refusal(wrong), HasSubstr("not the key of the certificate"));
  wrong = files.certificate("x");
  wrong.certificate = files.write("noise", "noise");
  EXPECT_THAT(refusal(wrong), HasSubstr("no certificate can be read"));
  wrong = files.certificate("x");
  wrong.key = files.write("noise.key", "noise");
  EXPECT_THAT(refusal(wrong), HasSubstr("no private key can be read"));
  wrong = files.certificate("x");
  wrong.authority = files.write("noise.ca", "noise");
  EXPECT_THAT(refusal(wrong), HasSubstr("no certificate can be read"));
  using std::chrono::hours;
  EXPECT_THAT(refusal(files.certificate(TestCredentials::lasting("old", hours(-48), hours(-24)))),
              HasSubstr("'old' expired on 20"));
  EXPECT_THAT(refusal(files.certificate(TestCredentials::lasting("new", hours(24), hours(48)))),
              HasSubstr("'new' is valid only from 20"));
}

TEST(CredentialFiles, ACertificateThatSoonExpiresIsAWarning) {
  const TestCredentials files;
  std::string warned;
  TlsContext::load(files.certificate(TestCredentials::lasting("soon", std::chrono::hours(-1),
                                                              std::chrono::hours(24 * 3))),
                   [&](const std::string& text) { warned = text; });
  EXPECT_THAT(warned, HasSubstr("'soon'"));
}

TEST(Certificates, NamesAndHostsAreChecked) {
  const auto authority = make_authority(TestCredentials::lasting("ca"));
  auto request = TestCredentials::lasting("node");
  for (const char* bad : {"", "a b", "*.example", "a,DNS:b", "g::1"}) {
    request.hosts = {bad};
    EXPECT_THROW(make_certificate(request, authority), Error) << bad;
  }
  request.hosts = {"::1", "10.0.0.7", "node.example"};
  EXPECT_NO_THROW(make_certificate(request, authority));
  request.name = "a/b";
  EXPECT_THROW(make_certificate(request, authority), Error);
  // A node's certificate signs nothing.
  const auto node = make_certificate(TestCredentials::lasting("node"), authority);
  EXPECT_THROW(make_certificate(TestCredentials::lasting("other"), node), Error);
}

TEST(Permissions, TheNamedOneCountsThenTheRest) {
  Proven reader;
  reader.by = Proven::By::token;
  reader.name = "reader";
  EXPECT_TRUE(rights_of({}, reader)->write);
  const std::vector<Permission> some = {{"reader", true, false, {"kv"}},
                                        {"writer", true, true, {}}};
  EXPECT_FALSE(rights_of(some, reader)->write);
  Caller caller;
  caller.rights = *rights_of(some, reader);
  EXPECT_TRUE(caller.may(Direction::pull, "kv"));
  EXPECT_FALSE(caller.may(Direction::push, "kv"));
  EXPECT_FALSE(caller.may(Direction::pull, "other"));
  reader.name = "stranger";
  EXPECT_FALSE(rights_of(some, reader));
  EXPECT_TRUE(rights_of({{"*", true, false, {}}, {"reader", true, true, {}}}, reader));
}

TEST(Attempts, AreBoundedAndSaidAtPowersOfTwo) {
  Attempts attempts;
  auto now = Attempts::Clock::now();
  std::vector<std::uint64_t> said;
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(attempts.allowed("a", now));
    if (const auto count = attempts.failed("a", now)) said.push_back(count);
  }
  EXPECT_EQ(said, (std::vector<std::uint64_t>{1, 2, 4, 8, 16}));
  EXPECT_FALSE(attempts.allowed("a", now));
  EXPECT_TRUE(attempts.allowed("b", now));
  now += std::chrono::milliseconds(150);
  EXPECT_TRUE(attempts.allowed("a", now));
  // A flood from everywhere is remembered up to a bound.
  for (int i = 0; i < 5000; ++i) attempts.failed(std::to_string(i), now);
  EXPECT_TRUE(attempts.allowed("a", now));
}

}  // namespace
}  // namespace kvferry::session
