#include "node/event_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvferry::detail {
namespace {

using testing::HasSubstr;

Notice notice_of(const std::string& peer, std::size_t bytes = 1) {
  Notice notice;
  notice.peer = peer;
  notice.text.assign(bytes, 'x');
  return notice;
}

TEST(EventQueue, OnePeerDoesNotUseUpTheRoomOfAll) {
  EventQueue queue(2 * EventQueue::kMaxOfOne);
  for (std::size_t i = 0; i < EventQueue::kMaxOfOne; ++i)
    ASSERT_EQ(queue.push(notice_of("loud")), "");
  EXPECT_THAT(queue.push(notice_of("loud")), HasSubstr("8192 of that peer wait"));
  EXPECT_EQ(queue.push(notice_of("quiet")), "");
  ASSERT_TRUE(queue.next_notice());
  EXPECT_EQ(queue.push(notice_of("loud")), "");
}

TEST(EventQueue, NamesDoNotMakeRoom) {
  EventQueue queue(100);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(queue.push(notice_of(std::to_string(i))), "");
  EXPECT_THAT(queue.push(notice_of("another")), HasSubstr("100 wait to be read"));
  ASSERT_TRUE(queue.next_notice());
  EXPECT_EQ(queue.push(notice_of("another")), "");
}

TEST(EventQueue, BytesAreBoundedOverAllNames) {
  EventQueue queue(1'000'000);
  constexpr std::size_t kText = 4096;
  std::size_t kept = 0;
  std::string why;
  for (; why.empty() && kept < 100'000; ++kept)
    why = queue.push(notice_of(std::to_string(kept), kText));
  EXPECT_THAT(why, HasSubstr("64 MiB of them wait"));
  EXPECT_LE(kept, EventQueue::kMaxBytes / kText);
  EXPECT_GE(kept, EventQueue::kMaxBytes / kText * 9 / 10);
  while (queue.next_notice()) {
  }
  EXPECT_EQ(queue.push(notice_of("another", kText)), "");
}

}  // namespace
}  // namespace kvferry::detail
