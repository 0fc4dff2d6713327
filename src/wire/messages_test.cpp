#include "wire/messages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "wire/random_message.hpp"

namespace kvferry::wire {
namespace {

using testing::HasSubstr;

constexpr std::size_t kKinds = std::variant_size_v<Message>;

std::uint16_t fds_of(const Message& message) {
  if (const auto* grant = std::get_if<PoolGrant>(&message))
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(grant->fds_total, kMaxFdsPerFrame));
  return std::holds_alternative<MoreFds>(message) ? 1 : 0;
}

std::vector<std::byte> payload_of(const Message& message) {
  const auto frame = encode(message, fds_of(message));
  return {frame.begin() + kHeaderBytes, frame.end()};
}

// 4 GiB of the default shape, as Pool::allocate lays it out: every layer in one allocation.
PoolGrant default_grant() {
  PoolGrant m;
  m.request = 1;
  m.blocks = static_cast<std::uint32_t>(m.shape.blocks_for(4ull << 30));
  m.offer.block_stride = m.shape.block_bytes();
  m.offer.generation = 1;
  const std::uint64_t layer_bytes = m.blocks * m.shape.block_bytes();
  for (std::uint32_t i = 0; i < m.shape.layers; ++i) m.offer.planes.push_back({0, i * layer_bytes});
  const std::uint64_t bytes = layer_bytes * m.shape.layers;
  memory::Chunk chunk;
  chunk.bytes = bytes;
  RandomMessage random(1);
  m.offer.regions.push_back({random.id(), bytes, {}, {chunk}});
  m.fds_total = 1;
  return m;
}

TEST(Messages, ComeBackAsTheyWere) {
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const Message message = RandomMessage(seed * 100 + kind).make(kind);
      ASSERT_EQ(message.index(), kind);
      const auto frame = encode(message, fds_of(message));
      const auto header = parse_header(std::span(frame).first<kHeaderBytes>(), kMaxPayloadBytes);
      ASSERT_EQ(header.payload_bytes, frame.size() - kHeaderBytes);
      ASSERT_EQ(header.fds, fds_of(message));
      const Message back = decode(std::span(frame).subspan(kHeaderBytes));
      ASSERT_TRUE(back == message) << name_of(message) << " from seed " << seed;
    }
  }
}

TEST(Messages, AreReadAtAnyAlignment) {
  const Message message = RandomMessage(3).hello(3);
  const auto payload = payload_of(message);
  for (std::size_t shift = 0; shift < 9; ++shift) {
    std::vector<std::byte> moved(shift + payload.size());
    std::copy(payload.begin(), payload.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
    EXPECT_TRUE(decode(std::span(moved).subspan(shift)) == message) << shift;
  }
}

TEST(Messages, HaveNames) {
  EXPECT_EQ(name_of(Signpost{}), "Signpost");
  EXPECT_EQ(name_of(PoolGrant{}), "PoolGrant");
  EXPECT_EQ(name_of(Goodbye{}), "Goodbye");
}

// Acceptance: connecting to a 4 GiB pool sends under 8 KiB.
TEST(Messages, HelloAndGrantOfADefaultPoolStayUnder8KiB) {
  Hello hello = RandomMessage(1).hello(0);
  hello.gpus.assign(8, RandomMessage(2).id());
  hello.paths = {"cuda_ipc", "host_shm"};
  PoolInfo pool;
  pool.name = std::string(kMaxNameBytes, 'n');
  pool.tag = std::string(kMaxTagBytes, 't');
  pool.blocks = 1638;
  hello.pools.push_back(pool);
  const std::size_t both = encode(hello).size() + encode(default_grant(), 1).size();
  RecordProperty("bytes", static_cast<int>(both));
  EXPECT_LT(both, 2048u);  // 8 KiB is the promise
}

TEST(Messages, GrantOfUnevenPlanesCosts8BytesAPlane) {
  PoolGrant even = default_grant(), uneven = default_grant();
  std::swap(uneven.offer.planes[3], uneven.offer.planes[4]);
  const auto more = payload_of(uneven).size() - payload_of(even).size();
  EXPECT_LE(more, 40u * 8);
  EXPECT_TRUE(decode(payload_of(uneven)) == Message(uneven));
}

TEST(Messages, ChunksOfEqualSizeCostNothing) {
  PoolGrant m = default_grant();
  auto& region = m.offer.regions[0];
  const std::uint64_t piece = 2u << 20;
  region.chunks.assign(region.bytes / piece, region.chunks[0]);
  for (auto& c : region.chunks) c.bytes = piece;
  region.chunks.back().bytes += region.bytes % piece;
  m.fds_total = static_cast<std::uint32_t>(region.chunks.size());
  ASSERT_GT(m.fds_total, 2000u);
  EXPECT_LT(encode(m, kMaxFdsPerFrame).size(), 1024u);
  EXPECT_TRUE(decode(payload_of(m)) == Message(m));
}

TEST(Encode, MakesTextForPeoplePrintable) {
  const auto back = [](const Message& m) { return decode(payload_of(m)); };
  EXPECT_EQ(std::get<Goodbye>(back(Goodbye{"a\nb"})).reason, "a\\x0ab");
  EXPECT_EQ(std::get<Denied>(back(Denied{1, ErrorCode::failed, std::string(5000, 'x')})).message,
            std::string(4093, 'x') + "...");
  const auto refusal =
      std::get<Refusal>(back(Refusal{ErrorCode::refused, "\x1B", {{"\r", "", ""}}}));
  EXPECT_EQ(refusal.message, "\\x1b");
  EXPECT_EQ(refusal.fields[0].field, "\\x0d");
  Hello hello = RandomMessage(5).hello(1);
  hello.pools[0].tag = std::string(300, 'x') + "\n";
  EXPECT_EQ(std::get<Hello>(back(hello)).pools[0].tag, std::string(253, 'x') + "...");
}

TEST(Encode, SaysHowManyFieldsOfARefusalAreLeftOut) {
  Refusal m;
  m.fields.assign(70, {"layers", "40", "41"});
  const auto back = std::get<Refusal>(decode(payload_of(m)));
  ASSERT_EQ(back.fields.size(), kMaxFieldDiffs);
  EXPECT_EQ(back.fields.back().ours, "7 more");
}

TEST(Encode, KeepsNoticesAsTheyAre) {
  Served m = std::get<Served>(RandomMessage(1).make(7));
  m.notice = "";
  EXPECT_TRUE(decode(payload_of(m)) == Message(m));
  m.notice = std::nullopt;
  EXPECT_TRUE(decode(payload_of(m)) == Message(m));
  m.notice = "\x1B";
  EXPECT_THROW(encode(m), Error);
}

TEST(Encode, RefusesWhatDoesNotFitTheHandshake) {
  Hello hello = RandomMessage(1).hello(kMaxPools);
  for (auto& pool : hello.pools) pool.tag = std::string(kMaxTagBytes, 't');
  try {
    encode(hello);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("at most 65536"));
  }
  for (auto& pool : hello.pools) pool.tag.clear();
  EXPECT_TRUE(decode(payload_of(hello)) == Message(hello));
}

TEST(Encode, FitsTheLargestRefusalIntoTheHandshake) {
  Refusal m{ErrorCode::refused, std::string(kMaxTextBytes, 'm'), {}};
  const std::string full(kMaxTagBytes, 'f');
  m.fields.assign(kMaxFieldDiffs, {full, full, full});
  EXPECT_TRUE(decode(payload_of(m)) == Message(m));
}

TEST(Fds, BelongToGrantsAlone) {
  const auto expect_bad = [](const Message& m, std::uint16_t fds) {
    EXPECT_THROW(check_fds(m, fds), Error) << name_of(m) << " " << fds;
    EXPECT_THROW(encode(m, fds), Error);
  };
  expect_bad(Goodbye{}, 1);
  expect_bad(Revoke{1, 1}, 1);
  expect_bad(MoreFds{1}, 0);
  expect_bad(MoreFds{1}, 254);
  EXPECT_NO_THROW(check_fds(MoreFds{1}, 253));
  expect_bad(default_grant(), 0);
  expect_bad(default_grant(), 2);
  EXPECT_NO_THROW(check_fds(default_grant(), 1));
}

TEST(Grant, MustBeForThePoolThatWasAnnounced) {
  const PoolGrant grant = default_grant();
  PoolInfo announced;
  announced.name = "kv";
  announced.blocks = grant.blocks;
  EXPECT_NO_THROW(check_grant(grant, announced));
  const auto expect_refused = [&](const char* words, const std::function<void(PoolInfo&)>& change) {
    PoolInfo other = announced;
    change(other);
    try {
      check_grant(grant, other);
      ADD_FAILURE() << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::refused);
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  };
  expect_refused("pool number is 0", [](PoolInfo& p) { p.number = 7; });
  expect_refused("generation is 1", [](PoolInfo& p) { p.generation = 2; });
  expect_refused("blocks is 1638", [](PoolInfo& p) { p.blocks = 1; });
  expect_refused("shape is", [](PoolInfo& p) { p.shape.layers = 39; });
  expect_refused("GPU is", [](PoolInfo& p) { p.gpu[0] = std::byte{1}; });
  expect_refused("memory is shareable", [](PoolInfo& p) { p.shareable = false; });
}

TEST(Versions, AgreeOnTheHighestCommonOne) {
  const auto agree = [](int a, int b, int c, int d) {
    Hello ours, theirs;
    ours.protocol_min = static_cast<std::uint16_t>(a);
    ours.protocol_max = static_cast<std::uint16_t>(b);
    theirs.protocol_min = static_cast<std::uint16_t>(c);
    theirs.protocol_max = static_cast<std::uint16_t>(d);
    return agree_version(ours, theirs);
  };
  EXPECT_EQ(agree(1, 1, 1, 1), 1);
  EXPECT_EQ(agree(1, 3, 2, 9), 3);
  EXPECT_EQ(agree(2, 9, 1, 3), 3);
  EXPECT_THROW(agree(1, 2, 3, 4), Error);
  EXPECT_THROW(agree(3, 4, 1, 2), Error);
}

TEST(UcxGrants, AgreeWithWhatWasAnnouncedAndLieInTheirRegions) {
  PoolInfo announced;
  announced.number = 3;
  announced.name = "kv";
  announced.shape = {2, 2, 1, 8, 4, DType::bf16};  // 128-byte blocks, K and V 64 each
  announced.blocks = 10;
  const UcxGrant joint{1, 3, 1, 1, 128, {{0, 0}, {0, 1280}}, {{4096, 2560, {std::byte{1}}}}};
  const UcxGrant apart{1,
                       3,
                       1,
                       2,
                       80,
                       {{0, 0}, {1, 0}, {0, 800}, {1, 800}},
                       {{4096, 1584, {std::byte{1}}}, {9000, 1584, {std::byte{2}}}}};
  EXPECT_NO_THROW(check_grant(joint, announced));
  EXPECT_NO_THROW(check_grant(apart, announced));
  const auto refused = [&](UcxGrant grant, const char* words,
                           const std::function<void(UcxGrant&)>& change) {
    change(grant);
    try {
      check_grant(grant, announced);
      ADD_FAILURE() << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::refused);
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  };
  refused(joint, "number of its grant over ucx", [](UcxGrant& g) { g.pool = 4; });
  refused(joint, "generation", [](UcxGrant& g) { g.generation = 2; });
  refused(joint, "parts", [](UcxGrant& g) { g.parts = 3; });
  refused(joint, "block stride", [](UcxGrant& g) { g.block_stride = 127; });
  refused(joint, "number of planes", [](UcxGrant& g) { g.planes.pop_back(); });
  refused(joint, "region of a plane", [](UcxGrant& g) { g.planes[0].region = 1; });
  refused(joint, "offset of a plane", [](UcxGrant& g) { g.planes[1].offset = 1281; });
  refused(joint, "offset of a plane", [](UcxGrant& g) { g.planes[1].offset = ~0ull; });
  refused(joint, "offset of a plane", [](UcxGrant& g) { g.regions[0].bytes = 2559; });
  refused(apart, "offset of a plane", [](UcxGrant& g) { g.block_stride = ~0ull; });
}

}  // namespace
}  // namespace kvferry::wire
