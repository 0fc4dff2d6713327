#include "wire/frame.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kvferry/error.hpp"

namespace kvferry::wire {
namespace {

using testing::HasSubstr;

std::array<std::byte, kHeaderBytes> header_with(std::size_t at, unsigned value) {
  auto bytes = format_header({kProtocolVersion, 3, 100});
  bytes[at] = static_cast<std::byte>(value);
  return bytes;
}

void expect_refused(const std::array<std::byte, kHeaderBytes>& bytes, ErrorCode code,
                    const char* words, std::uint32_t cap = 1000) {
  try {
    parse_header(bytes, cap);
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(words));
  }
}

std::vector<std::byte> frame_of(std::size_t payload_bytes, unsigned fill) {
  const auto head = format_header({kProtocolVersion, 0, static_cast<std::uint32_t>(payload_bytes)});
  std::vector<std::byte> bytes(kHeaderBytes + payload_bytes, static_cast<std::byte>(fill));
  std::copy(head.begin(), head.end(), bytes.begin());
  return bytes;
}

TEST(FrameHeader, LiesOnTheWireAsDocumented) {
  const auto bytes = format_header({0x0201, 0x0403, 0x08070605});
  const unsigned expected[] = {'K', 'V', 'F', 'Y', 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0};
  for (std::size_t i = 0; i < kHeaderBytes; ++i)
    EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), expected[i]) << i;
}

TEST(FrameHeader, ComesBack) {
  const FrameHeader header{kProtocolVersion, kMaxFdsPerFrame, 1000};
  EXPECT_EQ(parse_header(format_header(header), 1000), header);
  const FrameHeader later{7, 0, 1};
  EXPECT_EQ(parse_header(format_header(later), 1000, 7), later);
}

TEST(FrameHeader, RefusesWhatIsNoFrame) {
  for (std::size_t at = 0; at < 4; ++at)
    expect_refused(header_with(at, 0), ErrorCode::failed, "not a kvferry frame");
  for (std::size_t at = 12; at < 16; ++at)
    expect_refused(header_with(at, 1), ErrorCode::failed, "reserved");
  expect_refused(format_header({kProtocolVersion, 0, 0}), ErrorCode::failed, "0 bytes");
}

TEST(FrameHeader, RefusesWhatIsBeyondItsLimits) {
  expect_refused(header_with(4, 9), ErrorCode::refused, "protocol version 9, expected 1");
  expect_refused(header_with(6, 254), ErrorCode::refused, "254 file descriptors, at most 253");
  expect_refused(header_with(7, 1), ErrorCode::refused, "259 file descriptors");
  expect_refused(format_header({kProtocolVersion, 0, 1001}), ErrorCode::refused,
                 "1001 bytes, at most 1000");
  expect_refused(format_header({kProtocolVersion, 0, UINT32_MAX}), ErrorCode::refused,
                 "4294967295 bytes");
}

TEST(FrameReader, YieldsTheSameFramesHoweverTheBytesArrive) {
  std::vector<std::byte> stream;
  for (unsigned i = 1; i <= 9; ++i) {
    const auto frame = frame_of(i * i * 37, i);
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  for (const std::size_t step : {1u, 2u, 7u, 15u, 16u, 17u, 100u, 100'000u}) {
    FrameReader reader;
    unsigned frames = 0;
    for (std::span<const std::byte> rest = stream; !rest.empty();) {
      rest = rest.subspan(reader.feed(rest.first(std::min(step, rest.size()))));
      if (const auto frame = reader.take()) {
        ++frames;
        EXPECT_EQ(frame->header.payload_bytes, frames * frames * 37);
        EXPECT_EQ(frame->payload,
                  std::vector<std::byte>(frames * frames * 37, static_cast<std::byte>(frames)));
        EXPECT_FALSE(reader.is_partial());
      }
    }
    EXPECT_EQ(frames, 9u) << "in steps of " << step;
  }
}

TEST(FrameReader, TakesNothingPastAFrameThatWaits) {
  auto bytes = frame_of(10, 1);
  bytes.resize(bytes.size() + 5);
  FrameReader reader;
  EXPECT_EQ(reader.feed(bytes), kHeaderBytes + 10);
  EXPECT_EQ(reader.feed(bytes), 0u);
  EXPECT_TRUE(reader.take().has_value());
  EXPECT_FALSE(reader.take().has_value());
}

TEST(FrameReader, KnowsThatAFrameIsCutShort) {
  const auto bytes = frame_of(10, 1);
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    FrameReader reader;
    reader.feed(std::span(bytes).first(i));
    EXPECT_TRUE(reader.is_partial()) << i;
    EXPECT_FALSE(reader.take().has_value());
  }
  EXPECT_FALSE(FrameReader().is_partial());
}

TEST(FrameReader, ThrowsAtTheHeaderOfAFrameThatIsTooLarge) {
  FrameReader reader(100);
  EXPECT_THROW(reader.feed(frame_of(101, 0)), Error);
}

TEST(FrameReader, TakesNewLimitsFromTheNextFrameOn) {
  FrameReader reader(100);
  reader.feed(frame_of(100, 0));
  reader.set_limits(200, 2);
  ASSERT_TRUE(reader.take().has_value());
  EXPECT_THROW(reader.feed(frame_of(200, 0)), Error);  // still of version 1
  FrameReader again(100);
  again.set_limits(200, 1);
  EXPECT_EQ(again.feed(frame_of(200, 0)), kHeaderBytes + 200);
}

}  // namespace
}  // namespace kvferry::wire
