#include "path/host_shm/streaming_copy.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace kvferry::path::host {
namespace {

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

std::vector<unsigned char> noise(std::size_t bytes, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<unsigned char> data(bytes);
  for (auto& byte : data) byte = static_cast<unsigned char>(random());
  return data;
}

class StreamingCopies : public testing::TestWithParam<StreamingCopy> {};

// Source and target of every alignment, every length up to some lines: right bytes, and not one
// beyond.
TEST_P(StreamingCopies, EveryAlignmentAndLength) {
  constexpr std::size_t kMargin = 128;
  const auto source = noise(1024, 1);
  const auto before = noise(1024, 2);
  auto target = before, expected = before;
  for (std::size_t from = 0; from <= 64; ++from) {
    for (std::size_t to = 0; to <= 64; ++to) {
      // Every length at the alignments that differ most, a sample at the others.
      const std::size_t step = from % 32 == 0 || to % 32 == 0 ? 1 : 37;
      for (std::size_t bytes = 0; bytes <= 600; bytes += step) {
        const Piece piece{address_of(&source[from]), address_of(&target[kMargin + to]), bytes};
        GetParam().copy({&piece, 1});
        std::memcpy(&expected[kMargin + to], &source[from], bytes);
        ASSERT_EQ(std::memcmp(target.data(), expected.data(), target.size()), 0)
            << from << " -> " << to << ", " << bytes << " bytes";
        std::memcpy(&target[kMargin + to], &before[kMargin + to], bytes);
        std::memcpy(&expected[kMargin + to], &before[kMargin + to], bytes);
      }
    }
  }
}

// Side by side: lengths and alignments that differ within a group, any number of pieces.
TEST_P(StreamingCopies, ManyPiecesOfDifferentLengths) {
  std::mt19937_64 random(3);
  const auto source = noise(8 << 20, 4);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<unsigned char> target(source.size(), 0xEE), expected = target;
    std::vector<Piece> pieces;
    const std::size_t count = random() % 14;
    for (std::size_t i = 0; i < count; ++i) {
      // Each in its own half MiB, so that none overlap.
      const std::size_t limit = random() % 3 == 0 ? 700 : 400000;
      const std::size_t bytes = random() % limit, at = i << 19;
      const std::size_t from = at + random() % 1000, to = at + random() % 1000;
      pieces.push_back({address_of(&source[from]), address_of(&target[to]), bytes});
      std::memcpy(&expected[to], &source[from], bytes);
    }
    GetParam().copy(pieces);
    ASSERT_TRUE(target == expected) << "trial " << trial;
  }
}

TEST_P(StreamingCopies, OneBigPiece) {
  const auto source = noise((3 << 20) + 77, 5);
  std::vector<unsigned char> target(source.size() + 1);
  const Piece piece{address_of(source.data()), address_of(target.data() + 1), source.size()};
  GetParam().copy({&piece, 1});
  EXPECT_EQ(std::memcmp(target.data() + 1, source.data(), source.size()), 0);
  EXPECT_EQ(target[0], 0);
}

INSTANTIATE_TEST_SUITE_P(Runnable, StreamingCopies,
                         testing::ValuesIn(streaming_copies().begin(), streaming_copies().end()),
                         [](const auto& instance) {
                           std::string name(instance.param.name);
                           return name.substr(0, name.find(' '));
                         });

TEST(StreamingCopy, MemcpyIsAlwaysThere) {
  EXPECT_EQ(streaming_copies().back().name, "memcpy");
#if defined(__x86_64__)
  EXPECT_GE(streaming_copies().size(), 2u);
#endif
}

}  // namespace
}  // namespace kvferry::path::host
