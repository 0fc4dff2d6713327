#include "session/address.hpp"

#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::session {
namespace {

TEST(Address, ParsesEveryForm) {
  EXPECT_EQ(parse_address("127.0.0.1:5555").host, "127.0.0.1");
  EXPECT_EQ(parse_address("127.0.0.1:5555").port, 5555);
  EXPECT_EQ(parse_address("prefill-0:1").to_string(), "prefill-0:1");
  EXPECT_EQ(parse_address("[::1]:65535").host, "::1");
  EXPECT_EQ(parse_address("[::1]:65535").to_string(), "[::1]:65535");
  EXPECT_TRUE(parse_address("unix:/run/x.sock").is_unix);
  EXPECT_EQ(parse_address("unix:/run/x.sock").path, "/run/x.sock");
}

TEST(Address, NamesWhatIsWrong) {
  for (const char* text : {"", "host", "host:", "host:0", "host:65536", "host:5x", ":5", "::1:5",
                           "[::1]5", "[::1", "unix:"}) {
    try {
      parse_address(text);
      FAIL() << text << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(error.what()).find("address '"), std::string::npos);
    }
  }
  EXPECT_THROW(parse_address("unix:/" + std::string(107, 'a')), Error);
  EXPECT_NO_THROW(parse_address("unix:/" + std::string(106, 'a')));
}

}  // namespace
}  // namespace kvferry::session
