#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "kernels/copy.hpp"

// Every kernel family against a naive copy on the host: the bytes asked for, and not one more.
namespace kvferry::kernels {
namespace {

void ok(cudaError_t error) { ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error); }

struct Layout {
  std::uint64_t row = 0;
  std::uint32_t pool_blocks = 0;
  std::uint32_t planes = 0;
  // Bytes between blocks, and before the first plane.
  std::uint64_t source_gap = 0, target_gap = 0;
  std::uint64_t source_shift = 0, target_shift = 0;
  bool even = true;
};

class Copies : public testing::Test {
 protected:
  static constexpr std::uint64_t kBytes = 32 << 20;

  void SetUp() override {
    int count = 0;
    if (const cudaError_t e = cudaGetDeviceCount(&count); e != cudaSuccess || count == 0)
      GTEST_SKIP() << "no usable GPU: " << cudaGetErrorString(e);
    ok(cudaSetDevice(0));
    cudaDeviceProp properties{};
    ok(cudaGetDeviceProperties(&properties, 0));
    has_tma_ = properties.major >= 9 &&
               properties.sharedMemPerBlockOptin >= kTmaSharedBytes + kTmaStaticSharedBytes;
    ok(static_cast<cudaError_t>(prepare_device(has_tma_)));
    ok(cudaMalloc(reinterpret_cast<void**>(&source_), kBytes));
    ok(cudaMalloc(reinterpret_cast<void**>(&target_), kBytes));
    ok(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    void* words = nullptr;
    ok(cudaHostAlloc(&words, sizeof(Words), cudaHostAllocMapped));
    words_ = new (words) Words();
    ok(cudaMalloc(reinterpret_cast<void**>(&relay_), kRelayBytes));
    ok(cudaMemset(relay_, 0, kRelayBytes));
    std::mt19937 random(1);
    source_bytes_.resize(kBytes);
    for (std::size_t i = 0; i < kBytes; i += 4) {
      const auto r = static_cast<std::uint32_t>(random());
      std::memcpy(&source_bytes_[i], &r, 4);
    }
    ok(cudaMemcpy(source_, source_bytes_.data(), kBytes, cudaMemcpyHostToDevice));
  }
  void TearDown() override {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    cudaFree(source_);
    cudaFree(target_);
    if (words_ != nullptr) cudaFreeHost(words_);
    cudaFree(relay_);
  }

  plan::Plan make(const Layout& l, std::uint32_t ids, unsigned seed) {
    plan::Plan p;
    p.row_bytes = l.row;
    p.planes = l.planes;
    p.blocks = ids;
    std::vector<std::uint32_t> from(l.pool_blocks), to(l.pool_blocks);
    std::iota(from.begin(), from.end(), 0u);
    std::iota(to.begin(), to.end(), 0u);
    std::shuffle(from.begin(), from.end(), std::mt19937(seed));
    std::shuffle(to.begin(), to.end(), std::mt19937(seed + 1));
    for (std::uint32_t i = 0; i < ids; ++i) p.runs.push_back({from[i], to[i], 1});
    p.source = side(source_, l, l.source_gap, l.source_shift, false);
    p.target = side(target_, l, l.target_gap, l.target_shift, true);
    return p;
  }

  static plan::Side side(std::byte* base, const Layout& l, std::uint64_t gap, std::uint64_t shift,
                         bool reversed) {
    plan::Side s;
    s.block_stride = l.row + gap;
    s.even = l.even;
    // 32: keeps planes 16-aligned where rows are.
    s.plane_stride = (s.block_stride * l.pool_blocks + 31) / 16 * 16;
    EXPECT_LE(shift + s.plane_stride * l.planes + 4096, kBytes);
    for (std::uint32_t p = 0; p < l.planes; ++p) {
      const std::uint32_t at = !l.even && reversed ? l.planes - 1 - p : p;
      s.plane_base.push_back(reinterpret_cast<std::uint64_t>(base) + shift + at * s.plane_stride);
    }
    return s;
  }

  void naive(const plan::Plan& p, std::vector<unsigned char>& target) const {
    const auto from = reinterpret_cast<std::uint64_t>(source_);
    const auto to = reinterpret_cast<std::uint64_t>(target_);
    for (std::uint32_t plane = 0; plane < p.planes; ++plane)
      for (const auto& r : p.runs)
        for (std::uint32_t b = 0; b < r.count; ++b)
          std::memcpy(
              &target[p.target.plane_base[plane] + (r.dst + b) * p.target.block_stride - to],
              &source_bytes_[p.source.plane_base[plane] + (r.src + b) * p.source.block_stride -
                             from],
              p.row_bytes);
  }

  void launch(const plan::Plan& p, const Launch& l, bool handshake = false) {
    const Control control{words_, relay_, ticket_ + 1, handshake, true};
    ticket_ += launches(p);
    ok(static_cast<cudaError_t>(launch_copy(p, l, control, stream_)));
  }

  void expect_copied(const plan::Plan& p, const Launch& l, const std::string& what) {
    SCOPED_TRACE(what + ", family " + to_string(l.family) + ", ctas " + std::to_string(l.ctas) +
                 ", chunk " + std::to_string(l.chunk_bytes) + ", group " + std::to_string(l.group) +
                 ", row " + std::to_string(p.row_bytes));
    *words_ = Words();
    ok(cudaMemset(target_, 0xCD, kBytes));
    ok(cudaDeviceSynchronize());
    launch(p, l);
    ok(cudaStreamSynchronize(stream_));
    std::vector<unsigned char> got(kBytes), wanted(kBytes, 0xCD);
    ok(cudaMemcpy(got.data(), target_, kBytes, cudaMemcpyDeviceToHost));
    naive(p, wanted);
    const auto [a, b] = std::mismatch(got.begin(), got.end(), wanted.begin());
    EXPECT_TRUE(a == got.end()) << "first wrong byte at " << (a - got.begin());
    EXPECT_EQ(words_->stopped, 0u);
    EXPECT_EQ(words_->done, 1u);
  }

  static Launch shape(Family family, std::uint32_t ctas, std::uint32_t chunk,
                      std::uint32_t group = 128) {
    Launch l;
    l.family = family;
    l.ctas = ctas;
    l.threads = family != Family::tma                    ? 256
                : chunk > tma_stage_bytes(kTmaManyRings) ? 32 * kTmaFewRings
                                                         : 32 * kTmaManyRings;
    l.group = family == Family::plain ? group : std::min(group, 32u);
    l.chunk_bytes = chunk;
    return l;
  }

  bool has_tma_ = false;
  std::byte* source_ = nullptr;
  std::byte* target_ = nullptr;
  cudaStream_t stream_ = nullptr;
  Words* words_ = nullptr;
  std::uint32_t* relay_ = nullptr;
  std::uint32_t ticket_ = 0;
  std::vector<unsigned char> source_bytes_;
};

TEST_F(Copies, PlainRows) {
  for (const std::uint64_t row : {16u, 48u, 512u, 1040u, 8192u, 18432u, 65536u, 131088u}) {
    const Layout l{row, 40, 5, row == 512 ? 64u : 0u, 0, 0, 0, true};
    const auto p = make(l, 33, 7);
    expect_copied(p, shape(Family::plain, 3, 8192, 8), "few CTAs");
    expect_copied(p, shape(Family::plain, 264, 65536, 256), "many CTAs");
  }
}

TEST_F(Copies, TmaRows) {
  if (!has_tma_) GTEST_SKIP() << "no usable GPU: compute capability 9.0 needed";
  for (const std::uint64_t row : {16u, 2048u, 4112u, 8192u, 8208u, 18432u, 65536u, 131088u}) {
    const Layout l{row, 40, 5, 16, row == 8192 ? 0u : 32u, 16, 48, true};
    const auto p = make(l, 33, 8);
    expect_copied(p, shape(Family::tma, 1, 8192), "one CTA");
    expect_copied(p, shape(Family::tma, 24, 8192), "24 CTAs");
    expect_copied(p, shape(Family::tma, 132, 6144), "odd stages");
    expect_copied(p, shape(Family::tma, 132, 4096), "many rings");
    expect_copied(p, shape(Family::tma, 3, 2176), "many rings, odd stages");
  }
}

TEST_F(Copies, AnyAlignmentAndSize) {
  for (const std::uint64_t row : {1u, 2u, 3u, 7u, 15u, 16u, 17u, 100u, 1000u, 4097u, 65537u})
    for (const std::uint64_t shift : {0u, 1u, 2u, 4u, 8u}) {
      const Layout l{row, 30, 3, shift, row % 3, 0, shift, true};
      expect_copied(make(l, 20, 9), shape(Family::generic, 5, 4096, 32),
                    "shift " + std::to_string(shift));
    }
}

TEST_F(Copies, GenericEdgesOfChunks) {
  for (const std::uint64_t shift : {0u, 5u, 12u}) {
    const Layout l{50001, 8, 2, 3, 7, 1, shift, false};
    for (const std::uint32_t chunk : {16u, 4112u, 65536u})
      expect_copied(make(l, 8, 10), shape(Family::generic, 7, chunk, 8), "edges");
  }
}

TEST_F(Copies, ListsOfEveryLength) {
  // The classes of payload, 1 to 32,000 bytes, and lists that take several launches.
  for (const std::uint32_t ids : {1u, 127u, 128u, 129u, 255u, 700u, 768u, 769u, 1637u, 1900u, 1921u,
                                  3900u, 4001u, 8999u, 9000u})
    for (const bool even : {true, false}) {
      const Layout l{256, 9000, 11, 0, 0, 0, 0, even};
      auto p = make(l, ids, ids);
      // Ids of 32 and of 16 bits.
      if (ids % 2 == 1) p.id_limit = 9000;
      expect_copied(p, shape(Family::plain, 132, 65536, 16), "plain");
      expect_copied(p, shape(Family::generic, 17, 128, 8), "generic");
      if (has_tma_) expect_copied(p, shape(Family::tma, 24, 8192), "tma");
    }
}

TEST_F(Copies, PackedCopiesCanBeStartedAgain) {
  for (const std::uint32_t ids : {64u, 4500u}) {
    const Layout l{256, 5000, 11, 0, 0, 0, 0, true};
    const auto p = make(l, ids, ids);
    const PackedCopy packed(p, shape(Family::plain, 132, 65536, 16));
    EXPECT_EQ(packed.launches(), launches(p));
    std::vector<unsigned char> got(kBytes), wanted(kBytes, 0xCD);
    naive(p, wanted);
    for (int round = 0; round < 3; ++round) {
      *words_ = Words();
      ok(cudaMemset(target_, 0xCD, kBytes));
      ok(cudaDeviceSynchronize());
      ok(static_cast<cudaError_t>(packed.start({words_, relay_, ticket_ + 1, true}, stream_)));
      ticket_ += packed.launches();
      ok(cudaStreamSynchronize(stream_));
      ok(cudaMemcpy(got.data(), target_, kBytes, cudaMemcpyDeviceToHost));
      EXPECT_EQ(got, wanted);
    }
  }
}

TEST_F(Copies, RunsAreExpanded) {
  Layout l{8192, 100, 4, 0, 0, 0, 0, true};
  auto p = make(l, 0, 0);
  p.runs = {{10, 50, 20}, {0, 0, 3}, {99, 40, 1}};
  p.blocks = 24;
  expect_copied(p, shape(Family::plain, 10, 8192), "plain");
  if (has_tma_) expect_copied(p, shape(Family::tma, 10, 8192), "tma");
}

TEST_F(Copies, AbortBeforeStartWritesNothing) {
  const Layout l{8192, 100, 8, 0, 0, 0, 0, true};
  const auto p = make(l, 100, 3);
  for (const Family family : {Family::plain, Family::tma, Family::generic}) {
    if (family == Family::tma && !has_tma_) continue;
    *words_ = Words();
    words_->abort = 7;
    ok(cudaMemset(target_, 0xCD, kBytes));
    ok(cudaDeviceSynchronize());
    launch(p, shape(family, 16, 8192), true);
    ok(cudaStreamSynchronize(stream_));
    std::vector<unsigned char> got(kBytes);
    ok(cudaMemcpy(got.data(), target_, kBytes, cudaMemcpyDeviceToHost));
    EXPECT_EQ(std::count(got.begin(), got.end(), 0xCD), static_cast<std::ptrdiff_t>(kBytes));
    EXPECT_EQ(words_->started, 1u);
    EXPECT_EQ(words_->stopped, 1u);
    EXPECT_EQ(words_->done, 1u);
  }
}

TEST_F(Copies, HandshakeCopiesWhenGood) {
  const Layout l{8192, 100, 8, 0, 0, 0, 0, true};
  *words_ = Words();
  launch(make(l, 100, 3), shape(Family::plain, 16, 8192), true);
  ok(cudaStreamSynchronize(stream_));
  EXPECT_EQ(words_->started, 1u);
  EXPECT_EQ(words_->stopped, 0u);
}

// The same rows over and over, for far longer than it takes to stop; told to stop, they do, soon:
// one CTA, which reads the host's word itself, and many, which hear of it from the first.
TEST_F(Copies, AbortMidWayStops) {
  const Layout l{65536, 60, 1, 0, 0, 0, 0, true};
  auto p = make(l, 1, 3);
  p.runs.assign(100'000, plan::Run{5, 9, 1});
  p.blocks = 100'000;  // 6.5 GB
  for (const std::uint32_t ctas : {1u, 132u}) {
    p.planes = ctas == 1 ? 1 : 64;
    p.source.plane_stride = p.target.plane_stride = 0;
    p.source.even = p.target.even = true;
    for (const Family family : {Family::plain, Family::tma, Family::generic}) {
      if (family == Family::tma && !has_tma_) continue;
      SCOPED_TRACE(to_string(family) + ", ctas " + std::to_string(ctas));
      *words_ = Words();
      launch(p, shape(family, ctas, family == Family::tma ? 8192 : 65536, 256));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
      (void)cudaGetLastError();
      const auto asked = std::chrono::steady_clock::now();
      static_cast<volatile Words*>(words_)->abort = 7;
      ok(cudaStreamSynchronize(stream_));
      const auto took = std::chrono::steady_clock::now() - asked;
      EXPECT_EQ(words_->stopped, 1u);
      EXPECT_EQ(words_->done, 1u);
      EXPECT_LT(took, std::chrono::milliseconds(5));
    }
  }
}

}  // namespace
}  // namespace kvferry::kernels
