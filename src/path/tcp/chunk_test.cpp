#include "path/tcp/chunk.hpp"

#include <gtest/gtest.h>

#include <random>

#include "kvferry/error.hpp"
#include "path/tcp/crc32c.hpp"

namespace kvferry::path::tcp {
namespace {

TEST(Chunk, ComesBackAsItWas) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    ChunkHeader header;
    header.request = static_cast<std::uint32_t>(random());
    header.answers = (random() & 1) != 0;
    header.checked = (random() & 1) != 0;
    header.offset = random();
    header.bytes = static_cast<std::uint32_t>(1 + random() % kMaxChunkBytes);
    if (header.checked) header.crc32c = static_cast<std::uint32_t>(random());
    EXPECT_EQ(parse_chunk(format_chunk(header)), header);
  }
}

TEST(Chunk, EveryFlippedBitIsNoticed) {
  const ChunkHeader header{7, true, true, 1 << 20, 65536, 12345};
  for (std::size_t bit = 0; bit < kChunkHeaderBytes * 8; ++bit) {
    auto bytes = format_chunk(header);
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_THROW(parse_chunk(bytes), Error) << "bit " << bit;
  }
}

TEST(Chunk, BoundsAreKept) {
  EXPECT_THROW(parse_chunk(format_chunk({1, false, false, 0, 0, 0})), Error);
  EXPECT_THROW(parse_chunk(format_chunk({1, false, false, 0, kMaxChunkBytes + 1, 0})), Error);
  EXPECT_THROW(parse_chunk(format_chunk({1, false, false, 0, 10, 99})), Error);
}

TEST(Chunk, Count) {
  EXPECT_EQ(chunk_count(0, 65536), 0u);
  EXPECT_EQ(chunk_count(1, 65536), 1u);
  EXPECT_EQ(chunk_count(65536, 65536), 1u);
  EXPECT_EQ(chunk_count(65537, 65536), 2u);
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

// RFC 3720, B.4: the CRC bytes there are in the order they are sent, lowest first.
TEST(Crc32c, VectorsOfRfc3720) {
  const std::vector<std::byte> zeros(32), ones(32, std::byte{0xFF});
  std::vector<std::byte> up(32), down(32);
  for (int i = 0; i < 32; ++i) {
    up[static_cast<std::size_t>(i)] = static_cast<std::byte>(i);
    down[static_cast<std::size_t>(i)] = static_cast<std::byte>(31 - i);
  }
  const auto read_pdu = bytes_of({0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
                                  0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                  0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0});
  for (const auto& crc : {&crc32c, &crc32c_by_tables}) {
    EXPECT_EQ(crc(zeros, 0), 0x8A9136AAu);
    EXPECT_EQ(crc(ones, 0), 0x62A8AB43u);
    EXPECT_EQ(crc(up, 0), 0x46DD794Eu);
    EXPECT_EQ(crc(down, 0), 0x113FDB5Cu);
    EXPECT_EQ(crc(read_pdu, 0), 0xD9963A56u);
  }
}

TEST(Crc32c, InPiecesAndByInstructionIsTheSame) {
  std::mt19937 random(4);
  std::vector<std::byte> data(100'000);
  for (auto& b : data) b = static_cast<std::byte>(random());
  for (int i = 0; i < 100; ++i) {
    const std::size_t begin = random() % 64, bytes = random() % (data.size() - begin);
    const auto part = std::span(data).subspan(begin, bytes);
    const std::size_t cut = bytes == 0 ? 0 : random() % bytes;
    const std::uint32_t whole = crc32c(part);
    EXPECT_EQ(crc32c(part.subspan(cut), crc32c(part.first(cut))), whole);
    EXPECT_EQ(crc32c_by_tables(part), whole);
  }
}

}  // namespace
}  // namespace kvferry::path::tcp
