#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "wire/messages.hpp"

// Random valid messages: for property tests and the fuzzer's first corpus, not for the library.
namespace kvferry::wire {

class RandomMessage {
 public:
  explicit RandomMessage(std::uint64_t seed) : engine_(seed) {}

  // Of the alternative with that index.
  Message make(std::size_t kind) {
    switch (kind) {
      case 0: return signpost();
      case 1: return hello(below(4));
      case 2: return refusal();
      case 3: return OpenPool{number(), number(), coin()};
      case 4: return grant();
      case 5: return MoreFds{number()};
      case 6: return Denied{number(), code(), text(200)};
      case 7: return served();
      case 8: return Revoke{number(), 1 + below(1000)};
      case 9: return Unmapped{number(), 1 + below(1000)};
      case 10: return Goodbye{text(100)};
      case 11: return DataDoor{id(), secret(), coin() ? "10.0.0.7" : "fe80::1", port(), coin()};
      case 12: return Join{id(), number(), secret()};
      case 13: return Ping{coin()};
      case 14: return move_request();
      case 15: return MoveRuns{number(), runs()};
      case 16: return MoveReady{number()};
      case 17: return MoveCancel{number()};
      case 18: return move_end();
      case 19:
        return WantStreams{static_cast<std::uint32_t>(1 + below(kMaxStreams)), number(),
                           coin() ? name() : std::string()};
      case 20: return PoolOpened{number()};
      case 21: return AskUcx{number()};
      case 22: return UcxAddress{number(), blob(300)};
      case 23: return OpenUcx{number(), number(), 1 + below(1000), coin()};
      default: return ucx_grant();
    }
  }

  Hello hello(std::size_t pools) {
    Hello m;
    m.protocol_max = static_cast<std::uint16_t>(1 + below(9));
    m.software = text(40);
    if (coin()) m.node = name();
    m.pid = static_cast<std::uint32_t>(1 + below(kMaxPid));
    m.nonce = id();
    if (coin()) m.boot_id = id();
    for (std::size_t i = below(4); i > 0; --i) m.paths.push_back(name());
    for (std::size_t i = below(9); i > 0; --i) m.gpus.push_back(id());
    for (std::size_t i = 0; i < pools; ++i) m.pools.push_back(pool(i));
    return m;
  }

  PoolGrant grant() {
    PoolGrant m;
    m.request = number();
    m.shape = shape();
    m.blocks = static_cast<std::uint32_t>(1 + below(5000));
    m.offer.pool = number();
    m.offer.generation = 1 + below(100);
    m.offer.parts = coin() ? 1 : m.shape.kv;
    const std::uint64_t row_bytes = m.shape.block_bytes() / m.offer.parts;
    m.offer.block_stride = row_bytes * (1 + below(3)) + below(64);
    const std::uint64_t tensor_bytes = (m.blocks - 1) * m.offer.block_stride + row_bytes;
    const std::uint32_t planes = m.shape.layers * m.offer.parts;
    kind_ = static_cast<memory::ChunkKind>(below(4));
    gpu_ = memory::is_cuda(kind_) ? id() : memory::GpuUuid{};
    below(2) == 0 ? one_region(m.offer, planes, tensor_bytes)
                  : many_regions(m.offer, planes, tensor_bytes);
    m.fds_total = fds_needed(m.offer);
    return m;
  }

  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool coin() { return below(2) == 1; }
  std::uint32_t number() { return static_cast<std::uint32_t>(engine_()); }

  Id id() {
    Id bytes;
    for (auto& b : bytes) b = static_cast<std::byte>(1 + below(255));
    return bytes;
  }

  std::string name() {
    constexpr std::string_view kChars =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    std::string s;
    for (std::size_t i = 1 + below(kMaxNameBytes); i > 0; --i) s += kChars[below(kChars.size())];
    return s;
  }

  // Clean UTF-8 of up to 4 bytes a character.
  std::string text(std::size_t max_bytes) {
    constexpr std::array<std::string_view, 8> kPieces = {
        "a", "Z", " ", "~", "\xC3\xA9", "\xE5\xB1\x82", "\xF0\x9F\x9A\xA2", "\\"};
    std::string s;
    const std::size_t length = below(max_bytes - 3);
    while (s.size() < length) s += kPieces[below(kPieces.size())];
    return s;
  }

  CacheShape shape() {
    CacheShape s;
    s.layers = static_cast<std::uint32_t>(1 + below(64));
    s.kv = coin() ? 1 : 2;
    s.kv_heads = static_cast<std::uint32_t>(1 + below(16));
    s.head_dim = static_cast<std::uint32_t>(1 + below(256));
    s.block_tokens = static_cast<std::uint32_t>(1 + below(64));
    s.dtype = static_cast<DType>(below(6));
    return s;
  }

 private:
  std::uint16_t port() { return static_cast<std::uint16_t>(1 + below(UINT16_MAX)); }
  Secret secret() {
    Secret bytes;
    for (auto& b : bytes) b = static_cast<std::byte>(1 + below(255));
    return bytes;
  }

  ErrorCode code() { return static_cast<ErrorCode>(1 + below(7)); }

  Signpost signpost() {
    std::string path = "/";
    path += text(100);
    return {static_cast<std::uint16_t>(1 + below(UINT16_MAX)),
            text(60),
            path,
            id(),
            static_cast<Security>(below(3)),
            coin()};
  }

  PoolInfo pool(std::size_t i) {
    PoolInfo p;
    p.number = static_cast<std::uint32_t>(i);
    p.name = std::to_string(i) + name().substr(0, kMaxNameBytes - 4);
    p.tag = text(kMaxTagBytes);
    p.shape = shape();
    p.blocks = static_cast<std::uint32_t>(1 + below(100'000));
    p.writable = coin();
    p.generation = 1 + engine_() / 2;
    p.device = coin() ? Device::Kind::cuda : Device::Kind::host;
    if (p.device == Device::Kind::cuda) p.gpu = id();
    p.shareable = p.device == Device::Kind::cuda || coin();
    return p;
  }

  Refusal refusal() {
    Refusal m{code(), text(300), {}};
    for (std::size_t i = below(7); i > 0; --i)
      m.fields.push_back({text(20), text(kMaxTagBytes), text(kMaxTagBytes)});
    return m;
  }

  std::vector<IdRun> runs() {
    std::vector<IdRun> out(1 + below(50));
    for (IdRun& run : out)
      run = {static_cast<std::uint32_t>(below(1u << 30)),
             static_cast<std::uint32_t>(1 + below(99))};
    return out;
  }

  MoveRequest move_request() {
    MoveRequest m;
    m.request = number() | 1;
    m.pool = number();
    m.generation = 1 + below(1000);
    m.direction = coin() ? Direction::push : Direction::pull;
    m.first_layer = static_cast<std::uint32_t>(below(100));
    m.layers = static_cast<std::uint32_t>(1 + below(100));
    m.bytes = 1 + below(kMaxPoolBytes);
    m.chunk_bytes =
        static_cast<std::uint32_t>(kMinChunkBytes + below(kMaxChunkBytes - kMinChunkBytes + 1));
    m.checked = coin();
    m.max_streams = static_cast<std::uint32_t>(below(kMaxStreams + 1));
    m.bytes_per_s = coin() ? 0 : engine_();
    m.time_left_us = below(kMaxTimeLeft);
    m.runs = runs();
    m.runs_total = static_cast<std::uint32_t>(m.runs.size() + below(1000));
    return m;
  }

  std::vector<std::byte> blob(std::size_t most) {
    std::vector<std::byte> bytes(1 + below(most));
    for (auto& b : bytes) b = static_cast<std::byte>(below(256));
    return bytes;
  }

  UcxGrant ucx_grant() {
    UcxGrant m{number(), number(), 1 + below(1000), coin() ? 1u : 2u, 1 + below(1 << 20), {}, {}};
    for (std::size_t i = 1 + below(5); i > 0; --i)
      m.regions.push_back({1 + below(1ull << 47), 1 + below(1ull << 40), blob(60)});
    for (std::size_t i = 1 + below(40); i > 0; --i)
      m.planes.push_back(
          {static_cast<std::uint32_t>(below(m.regions.size())), below(kMaxRegionBytes)});
    return m;
  }

  MoveEnd move_end() {
    MoveEnd m{number(), {}, {}, below(kMaxPoolBytes)};
    if (coin()) return m;
    m.failure = code();
    m.message = text(200);
    return m;
  }

  Served served() {
    Served m;
    m.pool = number();
    m.generation = 1 + below(1000);
    m.direction = coin() ? Direction::push : Direction::pull;
    m.blocks = below(kMaxBlocks);
    m.bytes = below(kMaxPoolBytes);
    m.seconds = static_cast<double>(below(1'000'000)) / 1024;
    m.path = name();
    if (coin()) m.notice = text(500) + "\n\t";
    return m;
  }

  // Cut into chunks at random places, or into equal ones, as VMM ranges are.
  memory::RegionOffer region(std::uint64_t bytes) {
    memory::RegionOffer r{id(), bytes, gpu_, {}};
    const std::uint64_t piece = coin() ? bytes : bytes / (1 + below(40)) + 1;
    for (std::uint64_t rest = bytes; rest > 0;) {
      memory::Chunk c;
      c.kind = kind_;
      c.bytes = coin() ? std::min(piece, rest) : 1 + below(rest);
      if (r.chunks.size() > 300) c.bytes = rest;
      c.offset = coin() ? 0 : below(1 << 20);
      if (kind_ == memory::ChunkKind::host_private) c.address = 1 + below(1ull << 46);
      if (kind_ == memory::ChunkKind::cuda_ipc)
        for (auto& b : c.ipc) b = static_cast<std::byte>(1 + below(255));
      rest -= c.bytes;
      r.chunks.push_back(c);
    }
    return r;
  }

  // Evenly spaced.
  void one_region(memory::PoolOffer& offer, std::uint32_t planes, std::uint64_t tensor_bytes) {
    const std::uint64_t first = below(4096), gap = below(4096);
    for (std::uint32_t i = 0; i < planes; ++i)
      offer.planes.push_back({0, first + i * (tensor_bytes + gap)});
    offer.regions.push_back(region(offer.planes.back().offset + tensor_bytes + below(512)));
  }

  // A region for every plane, or for every other.
  void many_regions(memory::PoolOffer& offer, std::uint32_t planes, std::uint64_t tensor_bytes) {
    for (std::uint32_t i = 0; i < planes; ++i) {
      if (i == 0 || coin()) offer.regions.push_back(region(tensor_bytes + 4096));
      offer.planes.push_back({static_cast<std::uint32_t>(offer.regions.size() - 1), below(4097)});
    }
  }

  std::mt19937_64 engine_;
  memory::ChunkKind kind_ = memory::ChunkKind::memfd;
  memory::GpuUuid gpu_{};
};

}  // namespace kvferry::wire
