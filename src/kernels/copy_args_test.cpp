#include <gtest/gtest.h>

#include <map>

#include "kernels/copy_cursor.hpp"

// Runs the kernels' way through a plan on the host: every byte must be copied once, from its place.
namespace kvferry::kernels {
namespace {

struct Case {
  std::uint64_t row = 0;
  std::vector<plan::Run> runs{};
  std::uint32_t planes = 1;
  bool even_source = true, even_target = true;
};

plan::Plan make(const Case& c) {
  plan::Plan p;
  p.row_bytes = c.row;
  p.planes = c.planes;
  p.runs = c.runs;
  for (const auto& r : c.runs) p.blocks += r.count;
  const std::uint64_t source_plane = 1u << 20, target_plane = 3u << 20;
  p.source = {{}, c.row + 5, c.even_source, source_plane};
  p.target = {{}, c.row, c.even_target, target_plane};
  for (std::uint32_t i = 0; i < c.planes; ++i) {
    // Uneven planes: in reverse order, at odd places.
    p.source.plane_base.push_back(c.even_source ? 7 + i * source_plane
                                                : (c.planes - i) * source_plane + i * i);
    p.target.plane_base.push_back(c.even_target ? 11 + i * target_plane
                                                : (c.planes - i) * target_plane + 3 * i * i);
  }
  return p;
}

using Pieces = std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>>;

// Rows as target -> (source, bytes), chunks joined again.
template <std::size_t kBytes>
void walk(const Params<kBytes>& params, const plan::Plan& plan, Pieces& rows) {
  const CopyArgs& a = params.args;
  for (std::uint32_t w = 0; w < a.workers + 3; ++w) {
    Cursor<kBytes> cursor(params, w);
    const std::uint64_t items = items_of(a, w);
    for (std::uint64_t k = 0; k < items; ++k) {
      const auto source = reinterpret_cast<std::uint64_t>(cursor.source());
      const auto target = reinterpret_cast<std::uint64_t>(cursor.target());
      EXPECT_GT(cursor.bytes(), 0u);
      EXPECT_LE(cursor.bytes(), plan.row_bytes);
      EXPECT_TRUE(rows.emplace(target, std::pair{source, std::uint64_t{cursor.bytes()}}).second);
      cursor.advance();
    }
  }
}

Pieces joined(const Pieces& pieces, std::uint64_t row_bytes) {
  Pieces rows;
  for (const auto& [target, piece] : pieces) {
    if (!rows.empty()) {
      auto& [start, last] = *rows.rbegin();
      if (start + last.second == target && last.first + last.second == piece.first &&
          last.second < row_bytes) {
        last.second += piece.second;
        continue;
      }
    }
    rows.emplace(target, piece);
  }
  return rows;
}

Pieces expected(const plan::Plan& p) {
  Pieces rows;
  for (std::uint32_t plane = 0; plane < p.planes; ++plane)
    for (const auto& r : p.runs)
      for (std::uint32_t b = 0; b < r.count; ++b)
        rows.emplace(p.target.plane_base[plane] + (r.dst + b) * p.target.block_stride,
                     std::pair{p.source.plane_base[plane] + (r.src + b) * p.source.block_stride,
                               p.row_bytes});
  return rows;
}

constexpr std::size_t kLargest = kPayloadBytes[kPayloadClasses - 1];

void expect_every_row_once_as_is(const plan::Plan& plan, const Launch& launch) {
  Slicer slicer(plan);
  Pieces pieces;
  std::uint32_t slices = 0;
  for (Slice slice; slicer.next(slice); ++slices) {
    ASSERT_LE(payload_bytes(plan, slice), kLargest);
    Params<kLargest> params;
    params.args = make_args(plan, slice, launch);
    write_payload(plan, slice, params.payload);
    walk(params, plan, pieces);
  }
  EXPECT_EQ(slices, launches(plan));
  EXPECT_EQ(joined(pieces, plan.row_bytes), expected(plan));
}

void expect_every_row_once(plan::Plan plan, const Launch& launch) {
  for (const std::uint32_t limit : {0xffffffffu, 1u << 16}) {
    plan.id_limit = limit;
    expect_every_row_once_as_is(plan, launch);
  }
}

TEST(CopyArgs, EveryRowOnceWhateverTheLaunch) {
  const std::vector<Case> cases = {
      {64, {{3, 9, 1}}, 1, true, true},
      {64, {{3, 9, 1}, {7, 1, 5}, {40, 30, 2}}, 5, true, true},
      {1000, {{0, 4, 3}, {9, 0, 2}}, 7, false, true},
      {1008, {{0, 4, 3}, {9, 0, 2}}, 7, true, false},
      {40000, {{5, 2, 2}, {0, 0, 1}}, 3, false, false},
      {1, {{0, 0, 100}, {300, 200, 57}}, 2, true, true},
  };
  for (const auto& c : cases)
    for (const std::uint32_t ctas : {1u, 2u, 3u, 16u, 264u})
      for (const std::uint32_t chunk : {16u, 48u, 8192u, 65536u}) {
        Launch launch;
        launch.ctas = ctas;
        launch.threads = 128;
        launch.chunk_bytes = chunk;
        for (const std::uint32_t group : {8u, 128u}) {
          launch.group = group;
          expect_every_row_once(make(c), launch);
        }
        launch.family = Family::tma;
        expect_every_row_once(make(c), launch);
      }
}

TEST(CopyArgs, LongListsGoInSeveralLaunches) {
  Launch launch;
  launch.ctas = 3;
  launch.threads = 64;
  launch.group = 32;
  // Runs longer and shorter than a slice, and tables that leave less room for ids.
  const std::vector<plan::Run> runs = {{0, 5000, 4500}, {4600, 0, 1}, {5000, 12000, 7000}};
  for (const auto& [even, planes, count] :
       {std::tuple{true, 2u, 3u}, std::tuple{false, 2u, 3u}, std::tuple{false, 1500u, 8u}}) {
    const Case c{16, planes > 2 ? std::vector<plan::Run>{{3, 9, 9000}} : runs, planes, even, even};
    if (planes <= 2) expect_every_row_once(make(c), launch);
    EXPECT_EQ(launches(make(c)), count);
  }
}

TEST(CopyArgs, SlicesAreOfNearlyEqualSize) {
  const plan::Plan plan = make({64, {{0, 0, 8001}}, 40, true, true});
  Slicer slicer(plan);
  Slice slice;
  std::vector<std::uint32_t> sizes;
  while (slicer.next(slice)) sizes.push_back(slice.blocks);
  EXPECT_EQ(sizes, (std::vector<std::uint32_t>{2667, 2667, 2667}));
}

TEST(CopyArgs, PayloadHoldsTablesOnlyWhereNeeded) {
  Case c{64, {{0, 0, 10}}, 4, true, true};
  const Slice all{0, 4, 10, 0, 0};
  EXPECT_EQ(payload_bytes(make(c), all), 10u * 8);
  c.even_source = false;
  EXPECT_EQ(payload_bytes(make(c), all), (4u + 10) * 8);
  c.even_target = false;
  EXPECT_EQ(payload_bytes(make(c), all), (4u + 4 + 10) * 8);
}

TEST(CopyArgs, SmallIdsTakeHalfTheBytes) {
  plan::Plan plan = make({64, {{0, 0, 1637}, {65535, 65530, 1}}, 40, true, true});
  const Slice all{0, 40, 1638, 0, 0};
  EXPECT_EQ(payload_bytes(plan, all), 1638u * 8);
  plan.id_limit = 1u << 16;
  EXPECT_EQ(payload_bytes(plan, all), 1638u * 4);
  EXPECT_LE(payload_bytes(plan, all), kPayloadBytes[2]) << "the third class of launches";
  expect_every_row_once(plan, {.ctas = 3, .threads = 64, .group = 32});
  plan.id_limit = (1u << 16) + 1;
  EXPECT_EQ(payload_bytes(plan, all), 1638u * 8);
}

TEST(CopyArgs, FourThousandPairsAreOneLaunch) {
  EXPECT_EQ(launches(make({64, {{0, 0, 4000}}, 40, true, true})), 1u);
  EXPECT_EQ(launches(make({64, {{0, 0, 4001}}, 40, true, true})), 2u);
}

TEST(CopyArgs, TicketsFollowOneAnotherAndWrap) {
  Control control;
  control.ticket = kMaxTicket;
  EXPECT_EQ(make_control(control, 0, 3).go, kMaxTicket << 2 | 1);
  EXPECT_EQ(make_control(control, 1, 3).go, 1u << 2 | 1);
  EXPECT_EQ(make_control(control, 2, 3).stop, 2u << 2 | 2);
  EXPECT_EQ(make_control(control, 0, 3).handshake, 0u);
  EXPECT_EQ(make_control(control, 1, 3).handshake, 1u);
}

TEST(CopyArgs, OnlyTheLastLaunchTellsTheEnd) {
  Control control;
  EXPECT_EQ(make_control(control, 0, 1).tell_end, 0u);
  control.tell_end = true;
  EXPECT_EQ(make_control(control, 0, 1).tell_end, 1u);
  EXPECT_EQ(make_control(control, 1, 3).tell_end, 0u);
  EXPECT_EQ(make_control(control, 2, 3).tell_end, 1u);
}

TEST(CopyArgs, PollsSeldomForSmallChunks) {
  Launch launch;
  launch.chunk_bytes = 65536;
  const Slice all{0, 2, 64, 0, 0};
  const plan::Plan large = make({65536, {{0, 0, 64}}, 2, true, true});
  EXPECT_EQ(make_args(large, all, launch).poll_mask, 3u);
  launch.family = Family::tma;
  launch.chunk_bytes = 8192;
  EXPECT_EQ(make_args(large, all, launch).poll_mask, 31u);
  launch.family = Family::plain;
  EXPECT_EQ(make_args(make({512, {{0, 0, 64}}, 2, true, true}), all, launch).poll_mask, 511u);
}

}  // namespace
}  // namespace kvferry::kernels
