#include "output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <thread>

#include "client.hpp"
#include "json_target.hpp"
#include "kvferry/error.hpp"
#include "peer_events.hpp"
#include "quote.hpp"

namespace kvferry::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Files : public testing::Test {
 protected:
  Files() { fs::create_directory(dir_); }
  ~Files() override { fs::remove_all(dir_); }
  fs::path dir_ = fs::path(testing::TempDir()) / ("kvferry-output-" + std::to_string(::getpid()));
};

TEST(Bar, fits_and_never_overflows) {
  EXPECT_EQ(draw_bar("x", 0.5, 80), "x  [############............]  50 %");
  EXPECT_EQ(draw_bar("x", 7, 80), "x  [########################] 100 %");
  EXPECT_EQ(draw_bar("a long label", 0, 6).size(), 6u);
}

TEST_F(Files, the_bar_waits_a_second_and_goes_away) {
  const fs::path path = dir_ / "screen";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> screen(std::fopen(path.c_str(), "w"),
                                                               &std::fclose);
  Progress progress(screen.get(), 80);
  progress.begin("filling");
  const auto now = Progress::Clock::now();
  progress.update(0.1, now);
  EXPECT_EQ(read_file(path), "");
  progress.update(0.5, now + 2s);
  EXPECT_THAT(read_file(path), HasSubstr("filling"));
  const std::size_t drawn = read_file(path).size();
  progress.update(0.6, now + 2s + 10ms);
  EXPECT_EQ(read_file(path).size(), drawn);
  progress.clear();
  EXPECT_TRUE(read_file(path).ends_with("\r\x1b[K"));
}

TEST_F(Files, a_note_is_shown_at_once) {
  const fs::path path = dir_ / "screen";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> screen(std::fopen(path.c_str(), "w"),
                                                               &std::fclose);
  Progress progress(screen.get(), 80);
  progress.note("allocating");
  EXPECT_EQ(read_file(path), "\rallocating ...\x1b[K");
}

TEST_F(Files, json_appears_whole_or_not_at_all) {
  const std::string path = dir_ / "out.json";
  {
    JsonTarget abandoned(path);
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_TRUE(fs::is_empty(dir_));
  JsonTarget target(path);
  target.write("{}\n");
  EXPECT_EQ(read_file(path), "{}\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), {}), 1);
}

TEST_F(Files, json_to_nowhere_is_refused_at_once) {
  try {
    JsonTarget target((dir_ / "absent" / "out.json").string());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("--json"));
  }
}

TEST_F(Files, json_through_a_link_is_put_where_it_leads) {
  const fs::path file = dir_ / "results.json", link = dir_ / "latest.json";
  std::ofstream(file) << "old";
  fs::create_symlink(file.filename(), link);
  JsonTarget target(link.string());
  target.write("{}\n");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(read_file(file.string()), "{}\n");
}

TEST_F(Files, json_into_a_pipe_waits_for_its_reader) {
  const fs::path pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  auto read = std::async(std::launch::async, [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return read_file(pipe.string());
  });
  {
    JsonTarget target(pipe.string());
    target.write("{}\n");
  }
  EXPECT_EQ(read.get(), "{}\n");
}

TEST(Text, of_strangers_cannot_steer_a_terminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\nc\x7f"), "a?[2Jb\nc?");
  EXPECT_EQ(quote("a\"\n"), "\"a\\x22\\x0a\"");
  EXPECT_EQ(quote(std::string(100, 'x')), "\"" + std::string(60, 'x') + "...\"");
}

TEST(Address, of_every_kind) {
  EXPECT_EQ(server_address({"127.0.0.1", 5555, ""}), "127.0.0.1:5555");
  EXPECT_EQ(server_address({"::1", 5555, ""}), "[::1]:5555");
  EXPECT_EQ(server_address({"127.0.0.1", 5555, "/run/x.sock"}), "unix:/run/x.sock");
}

PeerEvent served(Direction direction) {
  PeerEvent event;
  event.kind = PeerEvent::Kind::served;
  event.direction = direction;
  event.bytes = 10;
  return event;
}

TEST(PeerEvents, are_counted_also_where_their_lines_are_dropped) {
  PeerEvents events;
  constexpr std::size_t kMax = PeerEvents::kMaxServed;
  for (std::size_t i = 0; i < kMax + 5; ++i) events.push(served(Direction::pull));
  events.push(served(Direction::push));
  events.push(PeerEvent{});  // somebody connected: still has its line
  const auto batch = events.take();
  EXPECT_EQ(batch.events.size(), kMax + 1);
  EXPECT_EQ(batch.events.back().kind, PeerEvent::Kind::connected);
  EXPECT_EQ(batch.dropped, 6u);
  EXPECT_EQ(events.take().events.size(), 0u);
  EXPECT_EQ(events.totals().clients, 1u);
  EXPECT_EQ(events.totals().pulls, kMax + 5);
  EXPECT_EQ(events.totals().pushes, 1u);
  EXPECT_EQ(events.totals().bytes, 10 * (kMax + 6));
}

TEST(PeerEvents, of_connections_are_bounded_too) {
  PeerEvents events;
  for (std::size_t i = 0; i < PeerEvents::kMax + 5; ++i) events.push(PeerEvent{});
  EXPECT_EQ(events.take().events.size(), PeerEvents::kMax);
}

TEST(LineBudget, bounds_the_lines_of_a_second) {
  LineBudget budget;
  const auto now = LineBudget::Clock::now();
  unsigned printed = 0;
  for (unsigned i = 0; i < 3 * LineBudget::kPerSecond; ++i) printed += budget.admit(now) ? 1 : 0;
  EXPECT_EQ(printed, LineBudget::kPerSecond);
  EXPECT_TRUE(budget.waiting());
  EXPECT_EQ(budget.suppressed(now + 500ms), 0u);
  EXPECT_EQ(budget.suppressed(now + 1s), 2 * LineBudget::kPerSecond);
  EXPECT_FALSE(budget.waiting());
  EXPECT_TRUE(budget.admit(now + 1s));
}

}  // namespace
}  // namespace kvferry::cli
