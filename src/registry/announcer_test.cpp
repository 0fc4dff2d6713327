#include "registry/announcer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "kvferry/error.hpp"

namespace kvferry::detail {
namespace {

using registry::Entry;
using registry::Lease;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// A registry in memory that can be made to fail. Shared by the test and the stores it hands out.
struct Shared {
  std::mutex mutex;
  std::map<std::string, Entry> entries;
  std::map<std::uint64_t, seconds> leases;
  std::uint64_t next = 1;
  bool down = false;
  int grants = 0, renewals = 0, writes = 0, revokes = 0;
  std::string value;

  void end(std::uint64_t lease) {
    leases.erase(lease);
    std::erase_if(entries, [&](const auto& e) { return e.second.lease == lease; });
  }
};

class FakeStore final : public registry::Store {
 public:
  explicit FakeStore(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Lease grant(seconds time_to_live) override {
    const auto lock = enter();
    ++shared_->grants;
    shared_->leases[shared_->next] = time_to_live;
    return {shared_->next++, time_to_live};
  }
  bool keep_alive(const Lease& lease) override {
    const auto lock = enter();
    ++shared_->renewals;
    return shared_->leases.count(lease.id) > 0;
  }
  void give_up_at(std::chrono::steady_clock::time_point) noexcept override {}
  std::optional<seconds> time_left(std::uint64_t lease) override {
    const auto lock = enter();
    const auto found = shared_->leases.find(lease);
    if (found == shared_->leases.end()) return std::nullopt;
    if (only_lease_while_waiting) {
      EXPECT_EQ(shared_->leases.size(), 1u);
    }
    // Whoever looks sees it get shorter, or longer for one that is renewed.
    if (lease == dying) {
      const seconds left = --found->second;
      if (left < seconds(0)) shared_->end(lease);  // and what was found with it
      return left;
    }
    if (lease == renewed) ++found->second;
    return found->second;
  }
  std::optional<Entry> claim(const Entry& entry) override {
    const auto lock = enter();
    if (shared_->leases.count(entry.lease) == 0) throw Error(ErrorCode::failed, "no such lease");
    const auto found = shared_->entries.find(entry.name);
    if (found != shared_->entries.end() && found->second.lease != entry.lease) return found->second;
    ++shared_->writes;
    shared_->value = entry.value;
    shared_->entries[entry.name] = entry;
    return std::nullopt;
  }
  std::optional<Entry> get(std::string_view) override { return std::nullopt; }
  std::vector<Entry> list() override { return {}; }
  void revoke(const Lease& lease, milliseconds) override {
    const auto lock = enter();
    ++shared_->revokes;
    shared_->end(lease.id);
  }
  void interrupt() noexcept override { interrupted_ = true; }
  void resume() noexcept override { interrupted_ = false; }

  std::uint64_t dying = 0, renewed = 0;
  bool only_lease_while_waiting = false;

 private:
  std::unique_lock<std::mutex> enter() {
    if (interrupted_) throw Error(ErrorCode::cancelled, "interrupted");
    std::unique_lock lock(shared_->mutex);
    if (shared_->down) throw Error(ErrorCode::unreachable, "registry cannot be reached");
    return lock;
  }

  std::shared_ptr<Shared> shared_;
  std::atomic<bool> interrupted_{false};
};

class AnnouncerTest : public testing::Test {
 protected:
  Announcer::Setup setup() {
    Announcer::Setup setup;
    setup.name = "a";
    setup.addresses = {"h:1"};
    setup.time_to_live = seconds(1);
    setup.first_pause = milliseconds(10);
    setup.last_pause = milliseconds(40);
    setup.value = [](const std::string& word) { return "value " + word; };
    setup.log = [this](LogLevel, std::string_view text) {
      const std::lock_guard lock(log_mutex_);
      log_.emplace_back(text);
    };
    return setup;
  }
  std::unique_ptr<FakeStore> store() { return std::make_unique<FakeStore>(shared_); }
  void lock_and(const std::function<void(Shared&)>& change) {
    const std::lock_guard lock(shared_->mutex);
    change(*shared_);
  }
  bool eventually(const std::function<bool(Shared&)>& condition) {
    for (int i = 0; i < 500; ++i) {
      {
        const std::lock_guard lock(shared_->mutex);
        if (condition(*shared_)) return true;
      }
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  std::vector<std::string> log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();

 private:
  std::mutex log_mutex_;
  std::vector<std::string> log_;
};

TEST_F(AnnouncerTest, TheEntryIsThereFromTheFirstMomentAndGoneAfterTheLast) {
  {
    const Announcer announcer(store(), setup());
    EXPECT_TRUE(announcer.registered());
    EXPECT_EQ(shared_->entries.count("a"), 1u);
    EXPECT_TRUE(eventually([](Shared& s) { return s.renewals >= 2; }));
  }
  EXPECT_TRUE(shared_->entries.empty());
  EXPECT_TRUE(shared_->leases.empty());
  EXPECT_EQ(shared_->grants, 1);
  EXPECT_TRUE(log().empty());
}

// Found by the example program: the interruption came when the thread had already resumed, and hit
// the request that removes the entry.
TEST_F(AnnouncerTest, NoEndLeavesTheEntryBehind) {
  for (int i = 0; i < 2000; ++i) {
    {
      const Announcer announcer(store(), setup());
    }
    ASSERT_TRUE(shared_->entries.empty()) << "round " << i;
  }
}

TEST_F(AnnouncerTest, AWordIsToldAtOnce) {
  auto slow = setup();
  slow.time_to_live = seconds(1000);
  Announcer announcer(store(), slow);
  announcer.set_health("draining");
  EXPECT_TRUE(eventually([](Shared& s) { return s.value == "value draining"; }));
  EXPECT_THROW(announcer.set_health("two words"), Error);
}

TEST_F(AnnouncerTest, ALostRegistryIsSaidOnceAndTheEntryComesBack) {
  const Announcer announcer(store(), setup());
  lock_and([](Shared& s) { s.down = true; });
  for (int i = 0; i < 500 && announcer.registered(); ++i)
    std::this_thread::sleep_for(milliseconds(10));
  EXPECT_FALSE(announcer.registered());
  std::this_thread::sleep_for(milliseconds(200));  // several attempts
  lock_and([](Shared& s) {
    s.down = false;
    s.entries.clear();
    s.leases.clear();
  });
  EXPECT_TRUE(eventually([](Shared& s) { return s.entries.count("a") == 1; }));
  EXPECT_EQ(shared_->grants, 2);
  for (int i = 0; i < 500 && log().size() < 2; ++i) std::this_thread::sleep_for(milliseconds(10));
  ASSERT_EQ(log().size(), 2u);
  EXPECT_THAT(log()[0], HasSubstr("cannot be reached; transfers go on"));
  EXPECT_THAT(log()[1], HasSubstr("registered again"));
}

TEST_F(AnnouncerTest, AnEntryThatSomebodyDeletedComesBack) {
  const Announcer announcer(store(), setup());
  lock_and([](Shared& s) { s.entries.clear(); });
  EXPECT_TRUE(eventually([](Shared& s) { return s.entries.count("a") == 1; }));
}

TEST_F(AnnouncerTest, TheNameOfALivingNodeIsRefused) {
  lock_and([](Shared& s) {
    s.leases[77] = seconds(3);
    s.entries["a"] = {"a", "{}", 77};
  });
  auto mine = store();
  mine->renewed = 77;
  try {
    const Announcer announcer(std::move(mine), setup());
    FAIL() << "two of one name";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    EXPECT_THAT(error.what(), HasSubstr("'a' is taken by"));
    EXPECT_THAT(error.what(), HasSubstr("alive"));
  }
  EXPECT_EQ(shared_->entries["a"].lease, 77u);
  EXPECT_EQ(shared_->leases.size(), 1u) << "its own lease stays behind";
}

TEST_F(AnnouncerTest, TheNameOfADeadNodeIsWaitedFor) {
  lock_and([](Shared& s) {
    s.leases[77] = seconds(3);
    s.entries["a"] = {"a", "{}", 77};
  });
  auto mine = store();
  mine->dying = 77;
  const Announcer announcer(std::move(mine), setup());
  EXPECT_TRUE(announcer.registered());
  EXPECT_NE(shared_->entries["a"].lease, 77u);
  EXPECT_THAT(log().at(0), HasSubstr("waiting at most"));
}

// Found with a lease of 2 s: its own, granted for the first attempt, ended while it waited.
TEST_F(AnnouncerTest, ItsOwnLeaseIsNoneOfThoseWhileItWaits) {
  lock_and([](Shared& s) {
    s.leases[77] = seconds(2);
    s.entries["a"] = {"a", "{}", 77};
  });
  auto mine = store();
  mine->dying = 77;
  mine->only_lease_while_waiting = true;
  const Announcer announcer(std::move(mine), setup());
  EXPECT_EQ(shared_->grants, 2);
  EXPECT_EQ(shared_->leases.size(), 1u);
}

// Found with a lease of 2 s: in whole seconds, one that is renewed looks the same at every look.
TEST_F(AnnouncerTest, ALeaseThatDoesNotGetShorterIsRenewed) {
  lock_and([](Shared& s) {
    s.leases[77] = seconds(1);
    s.entries["a"] = {"a", "{}", 77};
  });
  try {
    const Announcer announcer(store(), setup());
    FAIL() << "two of one name";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("which is alive"));
  }
}

TEST_F(AnnouncerTest, AnEntryMadeByHandIsNeverOverwritten) {
  lock_and([](Shared& s) { s.entries["a"] = {"a", "{}", 0}; });
  EXPECT_THROW(Announcer(store(), setup()), Error);
  EXPECT_EQ(shared_->entries["a"].value, "{}");
}

TEST_F(AnnouncerTest, ANameThatWasTakenMeanwhileIsSaidOnce) {
  const Announcer announcer(store(), setup());
  lock_and([](Shared& s) {
    s.leases.clear();
    s.leases[77] = seconds(3);
    s.entries["a"] = {"a", "{}", 77};
  });
  for (int i = 0; i < 500 && log().empty(); ++i) std::this_thread::sleep_for(milliseconds(10));
  std::this_thread::sleep_for(milliseconds(200));
  ASSERT_EQ(log().size(), 1u);
  EXPECT_THAT(log()[0], HasSubstr("was taken by"));
  EXPECT_FALSE(announcer.registered());
  lock_and([](Shared& s) { s.end(77); });
  EXPECT_TRUE(eventually([](Shared& s) { return s.entries.count("a") == 1; }));
}

TEST_F(AnnouncerTest, NothingIsThereWhenTheRegistryIsNot) {
  lock_and([](Shared& s) { s.down = true; });
  EXPECT_THROW(Announcer(store(), setup()), Error);
}

TEST_F(AnnouncerTest, EndsSoonAlsoWhileTheRegistryIsLost) {
  auto slow = setup();
  slow.first_pause = slow.last_pause = seconds(60);
  const auto start = std::chrono::steady_clock::now();
  {
    const Announcer announcer(store(), slow);
    lock_and([](Shared& s) { s.down = true; });
    for (int i = 0; i < 500 && announcer.registered(); ++i)
      std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
}

}  // namespace
}  // namespace kvferry::detail
