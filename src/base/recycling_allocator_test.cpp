#include "base/recycling_allocator.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace kvferry {
namespace {

TEST(BlockShelf, GivesTheSameBlockAgainForTheSameSize) {
  BlockShelf shelf;
  void* small = shelf.take(64);
  void* large = shelf.take(256);
  shelf.give_back(small, 64);
  shelf.give_back(large, 256);
  EXPECT_EQ(shelf.take(256), large);
  EXPECT_EQ(shelf.take(64), small);
  shelf.give_back(small, 64);
  shelf.give_back(large, 256);
}

TEST(BlockShelf, MoreSizesThanItKeepsAreNotKept) {
  BlockShelf shelf;
  for (std::size_t bytes = 16; bytes <= 16 * 12; bytes += 16)
    shelf.give_back(shelf.take(bytes), bytes);
  shelf.give_back(shelf.take(1), 1);  // too small to be kept at all
}

TEST(RecyclingAllocator, ObjectsOutliveTheirMaker) {
  std::shared_ptr<std::vector<int>> kept;
  {
    const RecyclingAllocator<std::byte> maker;
    kept =
        std::allocate_shared<std::vector<int>>(RecyclingAllocator<std::vector<int>>(maker), 3, 7);
  }
  EXPECT_EQ(kept->at(2), 7);
}

TEST(RecyclingAllocator, ThreadsShareIt) {
  const RecyclingAllocator<std::byte> maker;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&maker] {
      std::set<int, std::less<>, RecyclingAllocator<int>> numbers(maker);
      for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 50; ++i) numbers.insert(i * round);
        numbers.clear();
      }
    });
}

}  // namespace
}  // namespace kvferry
