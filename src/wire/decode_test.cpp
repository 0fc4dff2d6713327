#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "control_generated.h"
#include "wire/messages.hpp"
#include "wire/random_message.hpp"

// decode() against bytes that encode() would never make.
namespace kvferry::wire {
namespace {

using flatbuffers::FlatBufferBuilder;
using testing::HasSubstr;

constexpr std::size_t kKinds = std::variant_size_v<Message>;

std::vector<std::byte> payload_of(const Message& message) {
  std::uint16_t fds = std::holds_alternative<MoreFds>(message) ? 1 : 0;
  if (const auto* grant = std::get_if<PoolGrant>(&message))
    fds = static_cast<std::uint16_t>(std::min<std::uint32_t>(grant->fds_total, kMaxFdsPerFrame));
  const auto frame = encode(message, fds);
  return {frame.begin() + kHeaderBytes, frame.end()};
}

void expect_refused(std::span<const std::byte> payload, const char* words,
                    ErrorCode code = ErrorCode::refused) {
  try {
    decode(payload);
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(words));
  }
}

template <typename Table>
std::vector<std::byte> finished(FlatBufferBuilder& b, flatbuffers::Offset<Table> body) {
  b.Finish(fb::CreateMessage(b, fb::BodyTraits<Table>::enum_value, body.Union()));
  std::vector<std::byte> payload(b.GetSize());
  std::memcpy(payload.data(), b.GetBufferPointer(), payload.size());
  return payload;
}

// True when the bytes were accepted. Whatever decode() accepts must be a message that we would send
// and that comes back the same.
bool survives(std::span<const std::byte> payload) {
  Message message;
  try {
    message = decode(payload);
  } catch (const Error&) {
    return false;
  }
  EXPECT_TRUE(decode(payload_of(message)) == message);
  return true;
}

TEST(Decode, RefusesEveryTruncation) {
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    const Message message = RandomMessage(kind).make(kind);
    const auto payload = payload_of(message);
    // Bytes nothing refers to may be missing at the end; nothing else may.
    for (std::size_t size = 0; size < payload.size(); ++size) {
      std::vector<std::byte> cut(payload.begin(),
                                 payload.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        ASSERT_TRUE(decode(cut) == message) << "cut to " << size;
        ASSERT_GE(size + 8, payload.size()) << name_of(message);
      } catch (const Error& error) {
        ASSERT_NE(error.code(), ErrorCode::invalid_argument) << error.what();
      }
    }
  }
}

// Ten of every kind; large grants take the time and find nothing more.
std::vector<std::vector<std::byte>> sample_payloads() {
  std::vector<std::vector<std::byte>> samples;
  for (std::size_t seed = 0; seed < 10 * kKinds; ++seed) {
    auto payload = payload_of(RandomMessage(seed).make(seed % kKinds));
    if (payload.size() < 8192) samples.push_back(std::move(payload));
  }
  return samples;
}

TEST(Decode, SurvivesFlippedBits) {
  const auto samples = sample_payloads();
  std::mt19937_64 random(2024);
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < 100'000; ++i) {
    auto bytes = samples[random() % samples.size()];
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << (random() % 8));
    accepted += survives(bytes) ? 1 : 0;
  }
  // Many flips hit free text or numbers any value of which is good; most do not.
  EXPECT_GT(accepted, 1000u);
  EXPECT_LT(accepted, 90'000u);
}

TEST(Decode, SurvivesNoise) {
  std::mt19937_64 random(7);
  for (std::size_t i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (auto& b : bytes) b = static_cast<std::byte>(random() % (i % 2 == 0 ? 256 : 16));
    survives(bytes);
  }
}

TEST(Decode, NamesAMessageTypeItDoesNotKnow) {
  FlatBufferBuilder b;
  const auto body = fb::CreateGoodbye(b);
  b.Finish(fb::CreateMessage(b, static_cast<fb::Body>(99), body.Union()));
  expect_refused(std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize())),
                 fmt::format("type 99, which this release does not know (it knows 1 to {})",
                             static_cast<int>(fb::Body::MAX))
                     .c_str());
  FlatBufferBuilder none;
  none.Finish(fb::CreateMessage(none));
  expect_refused(std::as_bytes(std::span(none.GetBufferPointer(), none.GetSize())), "type 0");
}

// A later release may append fields; this one must not mind.
TEST(Decode, IgnoresFieldsItDoesNotKnow) {
  FlatBufferBuilder b;
  const auto later = b.CreateString("from the future");
  const auto start = b.StartTable();
  b.AddElement<std::uint32_t>(fb::MoreFds::VT_REQUEST, 7, 0);
  b.AddOffset(flatbuffers::FieldIndexToOffset(5), later);
  const auto body = flatbuffers::Offset<fb::MoreFds>(b.EndTable(start));
  EXPECT_TRUE(decode(finished(b, body)) == Message(MoreFds{7}));
}

TEST(Decode, RefusesAMessageBeyondTheCap) {
  expect_refused(std::vector<std::byte>(kMaxPayloadBytes + 1), "1048577 bytes");
}

TEST(Decode, RefusesWhatIsMissing) {
  FlatBufferBuilder hello;
  expect_refused(finished(hello, fb::CreateHello(hello)), "Hello.protocol_min: 0");
  FlatBufferBuilder grant;
  expect_refused(finished(grant, fb::CreatePoolGrant(grant)), "PoolGrant.shape: it is missing");
  FlatBufferBuilder denied;
  expect_refused(finished(denied, fb::CreateDenied(denied)), "Denied.code: 0");
}

TEST(Decode, BoundsTextAndListsBeforeItCopiesThem) {
  FlatBufferBuilder b;
  const auto text = b.CreateString(std::string(500'000, 'x'));
  expect_refused(finished(b, fb::CreateGoodbye(b, text)), "reason: 500000 bytes");
  FlatBufferBuilder p;
  const auto paths = p.CreateVector(std::vector(33, p.CreateString("path")));
  fb::HelloBuilder hello(p);
  hello.add_paths(paths);
  expect_refused(finished(p, hello.Finish()), "paths: 33");
  FlatBufferBuilder f;
  const auto fields = f.CreateVector(std::vector(65, fb::CreateFieldDiff(f)));
  expect_refused(finished(f, fb::CreateRefusal(f, fb::Code::refused, 0, fields)), "fields: 65");
  FlatBufferBuilder g;
  const auto pools = g.CreateVector(std::vector(257, fb::CreatePoolInfo(g)));
  fb::HelloBuilder many(g);
  many.add_pools(pools);
  expect_refused(finished(g, many.Finish()), "pools: 257");
}

// Few bytes may refer to one table many times over; so many visits are damage, not a message.
TEST(Decode, BoundsTheNumberOfTables) {
  FlatBufferBuilder b;
  const auto fields = b.CreateVector(std::vector(100'000, fb::CreateFieldDiff(b)));
  expect_refused(finished(b, fb::CreateRefusal(b, fb::Code::refused, 0, fields)), "structure",
                 ErrorCode::failed);
}

TEST(Decode, RefusesNoticeTextWithoutItsFlag) {
  FlatBufferBuilder b;
  const auto notice = b.CreateString("psst");
  fb::ServedBuilder served(b);
  served.add_notice(notice);
  expect_refused(finished(b, served.Finish()), "has_notice is 0");
}

// Grants: what the compact forms could hide.
struct RawGrant {
  std::vector<fb::ChunkRun> runs = {{4096, 0, 1}};
  fb::ChunkKind kind = fb::ChunkKind::memfd;
  std::vector<std::uint64_t> addresses{}, packed{};
  std::vector<fb::IpcHandle> handles{};
  bool even = true;
  fb::EvenPlanes planes{0, 0, 0, 1};
  std::uint8_t dtype = 5;

  std::vector<std::byte> payload() const {
    FlatBufferBuilder b;
    const auto shape = fb::CreateShape(b, 1, 1, 1, 64, 64, static_cast<fb::DType>(dtype));
    const auto chunks = b.CreateVectorOfStructs(runs);
    const auto where = addresses.empty() ? 0 : b.CreateVector(addresses);
    const auto ipc = handles.empty() ? 0 : b.CreateVectorOfStructs(handles);
    fb::Id id, gpu;
    const std::string ones(sizeof id, 1);
    std::memcpy(&id, ones.data(), sizeof id);
    if (kind == fb::ChunkKind::cuda_ipc) gpu = id;
    const std::vector regions = {fb::CreateRegion(b, &id, 4096, &gpu, kind, chunks, where, ipc)};
    const auto all = b.CreateVector(regions);
    const auto table = packed.empty() ? 0 : b.CreateVector(packed);
    return finished(b, fb::CreatePoolGrant(b, 1, 0, 1, shape, 1, 1, 4096, even ? &planes : nullptr,
                                           table, all, kind == fb::ChunkKind::memfd ? 1 : 0));
  }
};

TEST(DecodeGrant, AcceptsBothFormsOfPlanes) {
  EXPECT_TRUE(survives(RawGrant{}.payload()));
  EXPECT_TRUE(survives(RawGrant{.packed = {0}, .even = false}.payload()));
}

TEST(DecodeGrant, WantsExactlyOneFormOfPlanes) {
  expect_refused(RawGrant{.packed = {0}}.payload(), "exactly one of");
  expect_refused(RawGrant{.even = false}.payload(), "exactly one of");
}

TEST(DecodeGrant, RefusesPlanesThatPromiseTooMuch) {
  expect_refused(RawGrant{.planes = {0, 0, 0, UINT32_MAX}}.payload(), "planes: 4294967295");
  expect_refused(RawGrant{.planes = {0, 0, 0, 0}}.payload(), "planes: 0");
  expect_refused(RawGrant{.planes = {0, 1ull << 63, 0, 3}}.payload(), "beyond 2^47");
  expect_refused(RawGrant{.planes = {UINT64_MAX, 0, 0, 1}}.payload(), "beyond 2^47");
  expect_refused(RawGrant{.planes = {1, 0, 0, 1}}.payload(), "ends beyond its region");
  expect_refused(RawGrant{.planes = {0, 0, 1, 1}}.payload(), "region 1 of 1");
  expect_refused(RawGrant{.packed = {1ull << 48}, .even = false}.payload(), "region 1 of 1");
  expect_refused(RawGrant{.packed = {1}, .even = false}.payload(), "ends beyond its region");
}

TEST(DecodeGrant, RefusesChunksThatPromiseTooMuch) {
  expect_refused(RawGrant{.runs = {{1, 0, 65'537}}}.payload(), "chunks: 65537");
  expect_refused(RawGrant{.runs = {{1, 0, 60'000}, {1, 1, 60'000}}}.payload(), "chunks: 60000");
  expect_refused(RawGrant{.runs = {{1, 0, UINT32_MAX}}}.payload(), "chunks: 4294967295");
  expect_refused(RawGrant{.runs = {{4096, 0, 0}}}.payload(), "chunks: 0");
  expect_refused(RawGrant{.runs = {}}.payload(), "chunks: 0");
  expect_refused(RawGrant{.runs = {{2048, 0, 1}}}.payload(), "hold 2048 bytes, the region 4096");
}

TEST(DecodeGrant, WantsWhatTheKindOfMemoryNeeds) {
  const auto ipc = fb::ChunkKind::cuda_ipc, host = fb::ChunkKind::host_private;
  EXPECT_TRUE(survives(RawGrant{.kind = host, .addresses = {4096}}.payload()));
  expect_refused(RawGrant{.kind = host}.payload(), "addresses: 0");
  expect_refused(RawGrant{.kind = host, .addresses = {1, 2}}.payload(), "addresses: 2");
  expect_refused(RawGrant{.addresses = {1}}.payload(), "addresses: 1");
  expect_refused(RawGrant{.kind = ipc}.payload(), "handles: 0");
  expect_refused(RawGrant{.handles = {fb::IpcHandle()}}.payload(), "handles: 1");
  expect_refused(RawGrant{.kind = ipc, .handles = {fb::IpcHandle()}}.payload(), "all zero");
  expect_refused(RawGrant{.kind = static_cast<fb::ChunkKind>(9)}.payload(), "9 is no kind");
  expect_refused(RawGrant{.dtype = 6}.payload(), "dtype: 6");
}

// The bytes of docs/wire.md: a change here is a change of the protocol.
TEST(Encode, MakesTheDocumentedFrame) {
  const auto frame = encode(Revoke{3, 2});
  std::string hex;
  for (const std::byte b : frame) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[std::to_integer<unsigned>(b) >> 4];
    hex += kDigits[std::to_integer<unsigned>(b) & 15u];
  }
  EXPECT_EQ(hex,
            "4b5646590100000030000000000000000c00000008000c000700080008000000"
            "000000090c00000008001000040008000800000003000000"
            "0200000000000000");
}

}  // namespace
}  // namespace kvferry::wire
