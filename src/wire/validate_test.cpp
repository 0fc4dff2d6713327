#include "wire/validate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wire/random_message.hpp"

namespace kvferry::wire {
namespace {

using testing::HasSubstr;

// Refused on arrival, and never sent.
void expect_refused(const Message& message, const char* words) {
  try {
    validate(message, ErrorCode::refused);
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
    EXPECT_THAT(error.what(), HasSubstr(words));
    EXPECT_THAT(error.what(), HasSubstr(std::string(name_of(message))));
  }
}
void expect_not_sent(const Message& message) {
  try {
    encode(message);
    ADD_FAILURE() << "sent";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
  }
}

template <typename T>
class Changing {
 public:
  explicit Changing(T good) : good_(std::move(good)) { validate(good_, ErrorCode::refused); }
  template <typename Change>
  void refuses(const char* words, Change change) const {
    T bad = good_;
    change(bad);
    expect_refused(bad, words);
  }
  // For fields that encode() does not make printable by itself.
  template <typename Change>
  void refuses_both_ways(const char* words, Change change) const {
    refuses(words, change);
    T bad = good_;
    change(bad);
    expect_not_sent(bad);
  }

 private:
  T good_;
};

const std::string kTooLong(kMaxTextBytes + 1, 'x');

TEST(Validate, Signpost) {
  const Changing<Signpost> m({1, "kvferry", "/run/kv.sock", {}});
  m.refuses_both_ways("protocol: 0 is out of range", [](auto& s) { s.protocol = 0; });
  m.refuses("software: 4097 bytes", [](auto& s) { s.software = kTooLong; });
  m.refuses("software: '\\x1b[' holds control", [](auto& s) { s.software = "\x1B["; });
  m.refuses_both_ways("absolute", [](auto& s) { s.socket_path = "run/kv.sock"; });
  m.refuses_both_ways("absolute", [](auto& s) { s.socket_path = ""; });
  m.refuses_both_ways("at most 107", [](auto& s) { s.socket_path = "/" + std::string(107, 'x'); });
  m.refuses_both_ways("control", [](auto& s) { s.socket_path = "/a\n"; });
}

Hello good_hello() {
  Hello m = RandomMessage(7).hello(2);
  m.pools[0].device = Device::Kind::host;
  m.pools[0].gpu = {};
  m.pools[1].device = Device::Kind::cuda;
  m.pools[1].gpu = RandomMessage(8).id();
  m.pools[1].shareable = true;
  return m;
}

TEST(Validate, Hello) {
  const Changing<Hello> m(good_hello());
  m.refuses_both_ways("protocol_min", [](auto& h) { h.protocol_min = 0; });
  m.refuses_both_ways("protocol_max", [](auto& h) { h.protocol_min = 9, h.protocol_max = 8; });
  m.refuses("software", [](auto& h) { h.software = kTooLong; });
  m.refuses_both_ways("node: 'a b' is not a name", [](auto& h) { h.node = "a b"; });
  m.refuses_both_ways("pid", [](auto& h) { h.pid = 0; });
  m.refuses_both_ways("pid", [](auto& h) { h.pid = 1u << 31; });
  m.refuses_both_ways("nonce", [](auto& h) { h.nonce = {}; });
  m.refuses_both_ways("paths: 33", [](auto& h) { h.paths.assign(33, "p"); });
  m.refuses_both_ways("paths: '\\x1b'", [](auto& h) { h.paths = {"\x1B"}; });
  m.refuses_both_ways("gpus: 65", [](auto& h) { h.gpus.assign(65, h.nonce); });
  m.refuses_both_ways("gpus", [](auto& h) { h.gpus = {Id{}}; });
  m.refuses_both_ways("pools: 257", [](auto& h) { h.pools.resize(257, h.pools[0]); });
  m.refuses_both_ways("same name", [](auto& h) { h.pools[1].name = h.pools[0].name; });
  m.refuses_both_ways("same number", [](auto& h) { h.pools[1].number = h.pools[0].number; });
}

TEST(Validate, PoolsOfAHello) {
  const Changing<Hello> m(good_hello());
  const auto pool = [&](const char* words, auto change) {
    m.refuses_both_ways(words, [&](Hello& h) { change(h.pools[1]); });
  };
  pool("pools[1].name", [](auto& p) { p.name = ""; });
  pool("pools[1].name", [](auto& p) { p.name = std::string(65, 'x'); });
  m.refuses(".tag: 257", [](auto& h) { h.pools[1].tag = std::string(257, 'x'); });
  m.refuses(".tag: 'a\\x0ab' holds", [](auto& h) { h.pools[1].tag = "a\nb"; });
  pool("generation", [](auto& p) { p.generation = 0; });
  pool("blocks: 0", [](auto& p) { p.blocks = 0; });
  pool("blocks: 2147483648", [](auto& p) { p.blocks = 1u << 31; });
  pool("device: 2", [](auto& p) { p.device = static_cast<Device::Kind>(2); });
  pool("UUID", [](auto& p) { p.gpu = {}; });
  pool("UUID", [](auto& p) { p.device = Device::Kind::host; });
  pool("shareable", [](auto& p) { p.shareable = false; });
  pool("dtype: 6", [](auto& p) { p.shape.dtype = static_cast<DType>(6); });
  pool("layers", [](auto& p) { p.shape.layers = 0; });
  pool("layers", [](auto& p) { p.shape.layers = 65'537; });
  pool("kv", [](auto& p) { p.shape.kv = 3; });
  pool("kv_heads", [](auto& p) { p.shape.kv_heads = 0; });
  pool("head_dim", [](auto& p) { p.shape.head_dim = 0; });
  pool("block_tokens", [](auto& p) { p.shape.block_tokens = 0; });
  pool("shape", [](auto& p) { p.shape.block_tokens = p.shape.head_dim = 65'536; });
  pool("more than 576460752303423488 bytes", [](auto& p) {
    p.shape = {65'536, 2, 8192, 128, 128, DType::fp32};
    p.blocks = kMaxBlocks;
  });
}

TEST(Validate, Refusal) {
  const Changing<Refusal> m({ErrorCode::refused, "no", {{"layers", "40", "41"}}});
  m.refuses_both_ways("code: 0", [](auto& r) { r.code = static_cast<ErrorCode>(0); });
  m.refuses_both_ways("code: 8", [](auto& r) { r.code = static_cast<ErrorCode>(8); });
  m.refuses_both_ways("code: 0", [](auto& r) { r.code = static_cast<ErrorCode>(-1); });
  m.refuses("message", [](auto& r) { r.message = kTooLong; });
  m.refuses("message", [](auto& r) { r.message = "\xFF"; });
  m.refuses("fields: 65", [](auto& r) { r.fields.resize(65); });
  m.refuses("fields.field", [](auto& r) { r.fields[0].field = std::string(257, 'x'); });
  m.refuses("fields.ours", [](auto& r) { r.fields[0].ours = "\r"; });
  m.refuses("fields.theirs", [](auto& r) { r.fields[0].theirs = "\xC2\x9B"; });
}

TEST(Validate, ShortMessages) {
  expect_refused(Denied{1, static_cast<ErrorCode>(0), ""}, "Denied.code");
  expect_refused(Denied{1, ErrorCode::failed, kTooLong}, "Denied.message");
  expect_refused(Denied{1, ErrorCode::failed, "\b"}, "Denied.message");
  expect_refused(Revoke{1, 0}, "Revoke.generation");
  expect_refused(Unmapped{1, 0}, "Unmapped.generation");
  expect_refused(Goodbye{kTooLong}, "Goodbye.reason");
  expect_refused(Goodbye{"\n"}, "Goodbye.reason");
}

TEST(Validate, Served) {
  Served good;
  good.path = "host_shm";
  good.notice = "request 7\nlanded";
  const Changing<Served> m(good);
  m.refuses_both_ways("generation", [](auto& s) { s.generation = 0; });
  m.refuses_both_ways("direction: 2", [](auto& s) { s.direction = static_cast<Direction>(2); });
  m.refuses_both_ways("blocks", [](auto& s) { s.blocks = 1ull << 31; });
  m.refuses_both_ways("bytes", [](auto& s) { s.bytes = kMaxPoolBytes + 1; });
  for (const double seconds : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    m.refuses_both_ways("seconds", [&](auto& s) { s.seconds = seconds; });
  m.refuses_both_ways("path", [](auto& s) { s.path = ""; });
  m.refuses_both_ways("notice: 4097", [](auto& s) { s.notice = kTooLong; });
  m.refuses_both_ways("notice", [](auto& s) { s.notice = "\x1B]0;"; });
}

}  // namespace
}  // namespace kvferry::wire
