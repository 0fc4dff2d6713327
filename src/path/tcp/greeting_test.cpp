#include "path/tcp/greeting.hpp"

#include <gtest/gtest.h>

#include "kvferry/error.hpp"

namespace kvferry::path::tcp {
namespace {

TEST(Greeting, ComesBackAsItWas) {
  for (const Greeting& greeting :
       {Greeting{false, 1, ""}, Greeting{true, 0xFFFFFFFF, "cubic"}, {true, 7, "fifteen_letters"}})
    EXPECT_EQ(parse_greeting(format_greeting(greeting)), greeting);
}

TEST(Greeting, EveryFlippedBitIsNoticed) {
  for (std::size_t bit = 0; bit < kGreetingBytes * 8; ++bit) {
    auto bytes = format_greeting({true, 3, "reno"});
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_THROW(parse_greeting(bytes), Error) << "bit " << bit;
  }
}

TEST(Greeting, NamesAreNames) {
  EXPECT_THROW(parse_greeting(format_greeting({true, 3, "re no"})), Error);
  EXPECT_THROW(parse_greeting(format_greeting({true, 3, "\n"})), Error);
}

}  // namespace
}  // namespace kvferry::path::tcp
