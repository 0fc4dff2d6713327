#include "pattern_work.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

using pattern::Fill;

class Work : public testing::Test {
 protected:
  Interrupts interrupts_;
  Output out_{stderr};
  PatternWork work_{out_, interrupts_};
  Pool pool_ = Pool::allocate(Device::host(), CacheShape{4, 2, 2, 16, 4, DType::bf16}, 8);
};

TEST(Tags, say_what_a_pool_holds_or_nothing) {
  EXPECT_EQ(fill_from_tag("fill=ones"), Fill::ones);
  EXPECT_EQ(fill_from_tag("fill=indexed"), Fill::indexed);
  for (const char* tag : {"", "local", "fill=", "fill=ones,x", "FILL=ones"}) {
    EXPECT_FALSE(fill_from_tag(tag).has_value()) << tag;
  }
}

TEST_F(Work, a_wrong_byte_is_found_in_its_place) {
  const auto all = whole_pool(8, Fill::indexed, 3);
  work_.fill(pool_, all, {}, "filling");
  EXPECT_EQ(work_.check(pool_, all, {}, "checking").bytes, 0u);
  static_cast<unsigned char*>(pool_.layer(2))[5 * pool_.block_stride() + 17] ^= 1;
  const pattern::Mismatch found = work_.check(pool_, all, {}, "checking");
  EXPECT_EQ(found.bytes, 1u);
  EXPECT_EQ(found.layer, 2u);
  EXPECT_EQ(found.block, 5u);
  EXPECT_EQ(found.offset, 17u);
  EXPECT_EQ(work_.check(pool_, all, {3, 4}, "checking").bytes, 0u);
}

TEST_F(Work, empty_work_is_no_work) {
  const auto all = whole_pool(8, Fill::ones, 0);
  work_.fill(pool_, {}, {}, "filling");
  EXPECT_EQ(work_.check(pool_, all, {4, 4}, "checking").bytes, 0u);
  EXPECT_EQ(work_.check(pool_, {}, {}, "checking").bytes, 0u);
}

TEST_F(Work, compared_bytes_are_what_the_layers_hold) {
  EXPECT_EQ(compared_bytes(pool_, 3, {}), 3 * 4 * 512u);
  EXPECT_EQ(compared_bytes(pool_, 3, {1, 2}), 3 * 512u);
  EXPECT_EQ(compared_bytes(pool_, 3, {4, 4}), 0u);
}

TEST_F(Work, ends_early_when_interrupted) {
  // To the process, as Ctrl-C does: raise() would send it to this thread, where it is blocked.
  ASSERT_EQ(::kill(::getpid(), SIGINT), 0);
  pollfd noticed{interrupts_.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&noticed, 1, 10'000), 1);
  EXPECT_TRUE(interrupts_.requested());
  EXPECT_STREQ(interrupts_.name(), "SIGINT");
  try {
    work_.fill(pool_, whole_pool(8, Fill::ones, 0), {}, "filling");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
}

}  // namespace
}  // namespace kvferry::cli
