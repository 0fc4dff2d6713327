#include "path/tcp/packed_rows.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace kvferry::path::tcp {
namespace {

// A pool in one buffer, whose planes lie apart and whose blocks have gaps.
struct Memory {
  std::uint32_t layers, parts, blocks;
  std::uint64_t block_bytes, gap;
  std::vector<std::byte> bytes;

  Memory(std::uint32_t l, std::uint32_t p, std::uint32_t b, std::uint64_t size, std::uint64_t g)
      : layers(l), parts(p), blocks(b), block_bytes(size), gap(g), bytes(plane() * l * p) {}
  std::uint64_t row() const { return block_bytes / parts; }
  std::uint64_t plane() const { return (row() + gap) * blocks + 7; }
  RowLayout layout() {
    RowLayout out;
    for (std::uint32_t i = 0; i < layers * parts; ++i)
      out.plane_base.push_back(reinterpret_cast<std::uint64_t>(bytes.data() + i * plane()));
    out.parts = parts;
    out.block_stride = row() + gap;
    out.row_bytes = row();
    return out;
  }
  // One byte, by what it means rather than where it is.
  std::byte& at(std::uint32_t layer, std::uint32_t block, std::uint64_t k) {
    const std::uint64_t part = k / row();
    return bytes[(layer * parts + part) * plane() + block * (row() + gap) + k % row()];
  }
  std::vector<std::byte> packed(const std::vector<IdRun>& runs) {
    std::vector<std::byte> out;
    for (std::uint32_t layer = 0; layer < layers; ++layer)
      for (const IdRun& run : runs)
        for (std::uint32_t i = 0; i < run.count; ++i)
          for (std::uint64_t k = 0; k < block_bytes; ++k)
            out.push_back(at(layer, run.first + i, k));
    return out;
  }
};

std::vector<std::byte> walk(const PackedRows& rows, std::uint64_t offset, std::uint64_t bytes) {
  std::vector<std::byte> out;
  RowCursor cursor(rows, offset, bytes);
  for (auto piece = cursor.next(); piece.bytes > 0; piece = cursor.next()) {
    const auto* at = reinterpret_cast<const std::byte*>(piece.address);
    out.insert(out.end(), at, at + piece.bytes);
  }
  return out;
}

class PackedRowsOf : public ::testing::TestWithParam<std::pair<std::uint32_t, std::uint64_t>> {};

TEST_P(PackedRowsOf, EveryRangeIsTheSameStream) {
  const auto [parts, gap] = GetParam();
  Memory memory(3, parts, 11, 30, gap);
  std::mt19937 random(1);
  for (auto& b : memory.bytes) b = static_cast<std::byte>(random());
  const std::vector<IdRun> runs{{4, 3}, {0, 1}, {9, 2}, {1, 1}};
  const PackedRows rows(memory.layout(), runs);
  const auto expected = memory.packed(runs);
  ASSERT_EQ(rows.bytes(), expected.size());
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t offset = random() % expected.size();
    const std::uint64_t bytes = random() % (expected.size() - offset + 1);
    const auto begin = expected.begin() + static_cast<std::ptrdiff_t>(offset);
    ASSERT_EQ(walk(rows, offset, bytes),
              std::vector<std::byte>(begin, begin + static_cast<std::ptrdiff_t>(bytes)))
        << offset << " + " << bytes;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, PackedRowsOf,
                         ::testing::Values(std::pair{1u, 0ull}, std::pair{1u, 5ull},
                                           std::pair{2u, 0ull}, std::pair{2u, 9ull}));

TEST(PackedRows, BothSidesAgreeWhateverTheirLayout) {
  Memory joint(2, 1, 6, 24, 0), apart(2, 2, 6, 24, 3);
  std::mt19937 random(2);
  for (std::uint32_t layer = 0; layer < 2; ++layer)
    for (std::uint32_t block = 0; block < 6; ++block)
      for (std::uint64_t k = 0; k < 24; ++k)
        joint.at(layer, block, k) = apart.at(layer, block, k) = static_cast<std::byte>(random());
  const std::vector<IdRun> runs{{2, 2}, {5, 1}};
  const PackedRows a(joint.layout(), runs), b(apart.layout(), runs);
  EXPECT_EQ(walk(a, 0, a.bytes()), walk(b, 0, b.bytes()));
}

TEST(PackedRows, RunsOfADensePoolAreOnePiece) {
  Memory memory(1, 1, 8, 64, 0);
  const PackedRows rows(memory.layout(), {{1, 5}, {7, 1}});
  RowCursor cursor(rows, 10, 320);
  EXPECT_EQ(cursor.next().bytes, 310u);
  EXPECT_EQ(cursor.next().bytes, 10u);
  EXPECT_EQ(cursor.next().bytes, 0u);
}

TEST(PieceBatch, TakesAnyProgress) {
  Memory memory(2, 2, 20, 14, 1);
  std::mt19937 random(3);
  for (auto& b : memory.bytes) b = static_cast<std::byte>(random());
  std::vector<IdRun> runs;
  for (std::uint32_t id = 0; id < 20; id += 2) runs.push_back({id, 1});
  const PackedRows rows(memory.layout(), runs);
  const auto expected = memory.packed(runs);
  for (int round = 0; round < 200; ++round) {
    PieceBatch batch{RowCursor(rows, 0, rows.bytes())};
    std::vector<std::byte> out;
    while (!batch.empty()) {
      std::uint64_t there = 0;
      const auto pieces = batch.fill();
      ASSERT_LE(pieces.size(), PieceBatch::kMost);
      for (const auto& piece : pieces) there += piece.iov_len;
      std::uint64_t take = random() % (there + 1), left = take;
      for (const auto& piece : pieces) {
        const auto* at = static_cast<const std::byte*>(piece.iov_base);
        const auto n = std::min<std::uint64_t>(left, piece.iov_len);
        out.insert(out.end(), at, at + n);
        left -= n;
      }
      batch.consume(take);
    }
    ASSERT_EQ(out, expected);
  }
}

}  // namespace
}  // namespace kvferry::path::tcp
