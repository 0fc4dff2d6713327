#include "path/host_shm/copy_threads.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>

namespace kvferry::path::host {
namespace {

using std::chrono::seconds;

void await(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + seconds(20);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "did not happen within 20 s";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Steps of a letter, written down in the order they are taken.
class Letters : public CopyWork {
 public:
  struct Paper {
    std::mutex mutex;
    std::string text;
    std::size_t size() {
      const std::lock_guard lock(mutex);
      return text.size();
    }
  };
  Letters(char letter, int steps, Paper& paper) : letter_(letter), left_(steps), paper_(paper) {}
  bool step() noexcept override {
    const int left = left_.fetch_sub(1);
    if (left <= 0) return false;
    const std::lock_guard lock(paper_.mutex);
    paper_.text += letter_;
    return left > 1;
  }

 private:
  const char letter_;
  std::atomic<int> left_;
  Paper& paper_;
};

// Holds its thread until told.
class Gate : public CopyWork {
 public:
  bool step() noexcept override {
    entered = true;
    while (!open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return false;
  }
  std::atomic<bool> entered{false}, open{false};
};

TEST(CopyThreads, SeveralWorksTakeTurns) {
  Letters::Paper paper;
  CopyThreads threads(1);
  threads.start();
  const auto gate = std::make_shared<Gate>();
  threads.post(gate);
  await([&] { return gate->entered.load(); });
  threads.post(std::make_shared<Letters>('a', 4, paper));
  threads.post(std::make_shared<Letters>('b', 2, paper));
  threads.post(std::make_shared<Letters>('c', 4, paper));
  gate->open = true;
  await([&] { return paper.size() == 10; });
  EXPECT_EQ(paper.text, "abcabcacac");
}

TEST(CopyThreads, BackgroundWaitsForAllElse) {
  Letters::Paper paper;
  CopyThreads threads(1);
  threads.start();
  const auto gate = std::make_shared<Gate>();
  threads.post(gate);
  await([&] { return gate->entered.load(); });
  threads.post_background(std::make_shared<Letters>('-', 3, paper));
  threads.post(std::make_shared<Letters>('a', 3, paper));
  gate->open = true;
  await([&] { return paper.size() == 6; });
  EXPECT_EQ(paper.text, "aaa---");
}

TEST(CopyThreads, BackgroundLeavesTheOtherThreadsFree) {
  Letters::Paper paper;
  CopyThreads threads(2);
  threads.start();
  const auto first = std::make_shared<Gate>(), second = std::make_shared<Gate>();
  threads.post_background(first);
  threads.post_background(second);
  await([&] { return first->entered || second->entered; });
  threads.post(std::make_shared<Letters>('a', 50, paper));
  await([&] { return paper.size() == 50; });
  EXPECT_NE(first->entered, second->entered);
  first->open = true;
  second->open = true;
  await([&] { return first->entered && second->entered; });
}

TEST(CopyThreads, EveryStepIsTakenOnceByWhicheverThread) {
  Letters::Paper paper;
  CopyThreads threads(4);
  threads.start();
  threads.start();  // once is enough, twice is harmless
  for (int i = 0; i < 20; ++i) threads.post(std::make_shared<Letters>('x', 100, paper));
  await([&] { return paper.size() == 2000; });
}

TEST(CopyThreads, WorksAreDroppedWhenDone) {
  Letters::Paper paper;
  CopyThreads threads(2);
  threads.start();
  auto work = std::make_shared<Letters>('x', 10, paper);
  const std::weak_ptr<Letters> watch = work;
  threads.post(std::move(work));
  await([&] { return watch.expired(); });
  EXPECT_EQ(paper.size(), 10u);
}

TEST(CopyThreads, CountIsWhatWasAskedOrWhatHelps) {
  EXPECT_EQ(CopyThreads(3).count(), 3u);
  EXPECT_GE(CopyThreads(0).count(), 1u);
  EXPECT_LE(CopyThreads(0).count(), 8u);
}

// A completion may drop the last handle of a node, and with it these threads.
TEST(CopyThreads, OneOfThemMayDestroyThem) {
  class Destroyer : public CopyWork {
   public:
    bool step() noexcept override {
      threads.reset();
      done = true;
      return false;
    }
    std::unique_ptr<CopyThreads> threads;
    std::atomic<bool> done{false};
  };
  const auto destroyer = std::make_shared<Destroyer>();
  auto threads = std::make_unique<CopyThreads>(2);
  threads->start();
  CopyThreads& alias = *threads;
  const auto gate = std::make_shared<Gate>();
  alias.post(gate);
  await([&] { return gate->entered.load(); });
  destroyer->threads = std::move(threads);
  alias.post(destroyer);
  gate->open = true;
  await([&] { return destroyer->done.load(); });
}

}  // namespace
}  // namespace kvferry::path::host
