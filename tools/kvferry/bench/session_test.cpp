#include "bench/session.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/suite.hpp"
#include "kvferry/error.hpp"
#include "pattern_work.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint32_t kBlocks = 24, kLayers = 4;

// A server in this process, with what `kvferry serve --fill` would hold.
class SessionTest : public testing::TestWithParam<const char*> {
 protected:
  SessionTest() {
    std::string directory = testing::TempDir() + "kvferry-session-XXXXXX";
    directory_ = ::mkdtemp(directory.data());
    pattern::fill(pool_, whole_pool(kBlocks, pattern::Fill::indexed, 0), {});
    node_.add(pool_);
    ListenOptions listen;
    listen.tcp = false;
    listen.socket_path = directory_ + "/s.sock";
    node_.listen(listen);
    spec_.server = {"host", shape_, kBlocks, 0};
    spec_.device = "host";
    spec_.layout = GetParam();
    spec_.blocks = kBlocks;
  }
  ~SessionTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Session> connect() {
    return std::make_unique<Session>(spec_, "unix:" + directory_ + "/s.sock", ClientTuning{1, {}},
                                     Session::Log{});
  }
  Session::Move move(const Session& session, Direction direction, std::uint32_t layers = kLayers) {
    Session::Move move{.direction = direction, .ids = session.ids(7, true)};
    move.options.layers = {0, layers};
    return move;
  }
  std::uint64_t wrong_at_server() const {
    return pattern::check(pool_, whole_pool(kBlocks, pattern::Fill::indexed, 0), {}).bytes;
  }

  CacheShape shape_ = shape_for(4096, kLayers);
  std::string directory_;
  Pool pool_ = Pool::allocate(Device::host(), shape_, kBlocks, {.writable = true});
  Node node_;
  SessionSpec spec_;
};

TEST_P(SessionTest, both_directions_are_checked_and_leave_the_server_as_it_was) {
  const auto session = connect();
  EXPECT_EQ(session->verify(move(*session, Direction::pull)).blocks, 7u);
  EXPECT_EQ(session->verify(move(*session, Direction::push)).blocks, 7u);
  EXPECT_EQ(wrong_at_server(), 0u);
  // And so does the same push again, as it is timed.
  session->post(move(*session, Direction::push)).wait();
  EXPECT_EQ(wrong_at_server(), 0u);
  session->verify(move(*session, Direction::pull));
}

TEST_P(SessionTest, some_layers_and_prepared_transfers_too) {
  const auto session = connect();
  for (const Direction direction : {Direction::pull, Direction::push}) {
    Session::Move one = move(*session, direction, 1);
    EXPECT_EQ(session->verify(one).layers, 1u);
    session->prepare(one);
    EXPECT_EQ(session->verify(one).layers, 1u);
  }
  EXPECT_EQ(wrong_at_server(), 0u);
}

TEST_P(SessionTest, a_wrong_byte_is_found) {
  const auto session = connect();
  const Session::Move pull = move(*session, Direction::pull);
  static_cast<unsigned char*>(pool_.layer(2))[pull.ids.remote[3] * pool_.block_stride() + 5] ^= 1;
  try {
    session->verify(pull);
    FAIL() << "found nothing";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::failed);
    EXPECT_THAT(error.what(), testing::HasSubstr("1 wrong bytes in the local pool after a pull"));
    EXPECT_THAT(error.what(), testing::HasSubstr("layer 2"));
  }
}

TEST_P(SessionTest, a_byte_beside_a_push_is_found) {
  const auto session = connect();
  const Session::Move push = move(*session, Direction::push);
  std::uint32_t other = 0;
  while (std::ranges::find(push.ids.remote, other) != push.ids.remote.end()) ++other;
  static_cast<unsigned char*>(pool_.layer(1))[other * pool_.block_stride()] ^= 1;
  try {
    session->verify(push);
    FAIL() << "found nothing";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("1 wrong bytes in the server's pool after a push"));
  }
}

TEST_P(SessionTest, ids_are_within_both_pools) {
  const auto session = connect();
  for (const std::uint32_t count : {1u, 7u, kBlocks}) {
    for (const bool scattered : {false, true}) {
      const auto [remote, local] = session->ids(count, scattered);
      EXPECT_EQ(remote.size(), count);
      EXPECT_THAT(remote, testing::Each(testing::Lt(kBlocks)));
      EXPECT_THAT(local, testing::Each(testing::Lt(kBlocks)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, SessionTest, testing::Values("joint", "kv_apart", "padded"),
                         [](const auto& layout) { return std::string(layout.param); });

}  // namespace
}  // namespace kvferry::cli::bench
