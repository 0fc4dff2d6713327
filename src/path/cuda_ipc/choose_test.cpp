#include "path/cuda_ipc/choose.hpp"

#include <gtest/gtest.h>

namespace kvferry::path {
namespace {

using kernels::Family;

// Blocks of 64 KiB in 40 layers, one 2D copy a block.
ChooseInput scattered(Link link, std::uint32_t blocks, std::uint64_t row_bytes = 65536) {
  ChooseInput in;
  in.row_bytes = row_bytes;
  in.blocks = blocks;
  in.planes = 40;
  in.engine_copies = blocks;
  in.link = link;
  return in;
}

TEST(Choose, ScatteredOverNvlinkIsTma) {
  const Choice c = choose(scattered(Link::peer, 64));
  EXPECT_FALSE(c.engine);
  EXPECT_EQ(c.launch.family, Family::tma);
  EXPECT_EQ(c.launch.ctas, 24u);
  EXPECT_EQ(c.launch.chunk_bytes, 8192u);
  EXPECT_EQ(describe(c, scattered(Link::peer, 64)), "kernel tma, 24 SMs");
}

TEST(Choose, SmallBlocksOverNvlinkAreTma) {
  const Choice c = choose(scattered(Link::peer, 480, 8192));
  EXPECT_EQ(c.launch.family, Family::tma);
  EXPECT_EQ(c.launch.ctas, 24u);
}

TEST(Choose, BudgetOfSmsIsKept) {
  for (const Link link : {Link::same_gpu, Link::peer, Link::host})
    for (const std::uint32_t budget : {1u, 2u, 16u, 100u})
      for (const std::uint32_t alignment : {1u, 8u, 16u})
        for (const std::uint64_t row : {64u, 1024u, 8192u, 65536u}) {
          ChooseInput in = scattered(link, 64, row);
          in.copy = CopyMethod::kernel;
          in.max_sms = budget;
          in.alignment = alignment;
          const Choice c = choose(in);
          EXPECT_FALSE(c.engine);
          EXPECT_GE(c.launch.ctas, 1u);
          EXPECT_LE(c.launch.ctas, budget);
        }
}

TEST(Choose, PushesTakeMoreSmsThanPulls) {
  ChooseInput push = scattered(Link::peer, 64);
  push.writes_remote = true;
  EXPECT_EQ(choose(push).launch.family, Family::tma);
  EXPECT_EQ(choose(push).launch.ctas, 96u);
}

TEST(Choose, AllSmsArePlainVectorsInChunks) {
  ChooseInput push = scattered(Link::peer, 2000, 2048);
  push.writes_remote = true;
  ChooseInput small = scattered(Link::same_gpu, 1);
  for (const auto& in : {push, small}) {
    const auto launch = choose(in).launch;
    EXPECT_EQ(launch.family, Family::plain);
    EXPECT_EQ(launch.ctas, 528u);
    EXPECT_EQ(launch.threads, 512u);
  }
  EXPECT_EQ(choose(push).launch.chunk_bytes, 2048u);
  EXPECT_EQ(choose(push).launch.group, 16u);
  EXPECT_EQ(choose(small).launch.chunk_bytes, 4096u);
  EXPECT_EQ(choose(small).launch.group, 32u);
}

// Pieces that begin within a packet cost a quarter of NVLink; a pass with idle threads a tenth.
TEST(Choose, RowsAreCutAtPacketsAndPasses) {
  for (const Link link : {Link::same_gpu, Link::peer})
    for (const bool push : {false, true})
      for (const std::uint64_t row : {12288u, 20480u, 36864u, 49152u, 69632u, 147456u}) {
        ChooseInput in =
            scattered(link, static_cast<std::uint32_t>((160ull << 20) / 40 / row), row);
        in.copy = CopyMethod::kernel;
        in.writes_remote = push;
        const auto l = choose(in).launch;
        EXPECT_EQ(l.chunk_bytes % 128, 0u) << row;
        if (l.family == Family::plain && l.chunk_bytes < row) {
          EXPECT_EQ(l.chunk_bytes % (l.group * kernels::kLoadsInFlight * 16), 0u) << row;
        }
      }
}

TEST(Choose, CostsDecide) {
  CopyCosts costs;
  costs.peer_engine.start_us = 1000;
  ChooseInput in = scattered(Link::peer, 1);
  in.costs = &costs;
  EXPECT_FALSE(choose(in).engine);
  costs.peer_kernel.start_us = 2000;
  EXPECT_TRUE(choose(in).engine);
  EXPECT_GT(choose(in).expected_us, 1000);
}

TEST(Choose, OneGpuIsBulkCopiesOfEverySm) {
  for (const auto& in : {scattered(Link::same_gpu, 64), scattered(Link::same_gpu, 480, 8192)}) {
    EXPECT_EQ(choose(in).launch.family, Family::tma);
    EXPECT_EQ(choose(in).launch.ctas, 132u);
  }
}

TEST(Choose, FewSmsTakeBulkCopiesWhereTheyFillMore) {
  ChooseInput push = scattered(Link::peer, 64);
  push.writes_remote = true;
  ChooseInput small = scattered(Link::same_gpu, 480, 8192);
  for (ChooseInput in : {push, small}) {
    in.max_sms = 16;
    EXPECT_EQ(choose(in).launch.family, Family::tma);
    EXPECT_EQ(choose(in).launch.ctas, 16u);
  }
}

// Two SMs move 92 GB/s over NVLink; the engine, which takes none, 245.
TEST(Choose, FarTooFewSmsLeaveItToTheEngine) {
  ChooseInput in = scattered(Link::peer, 64);
  in.max_sms = 2;
  EXPECT_TRUE(choose(in).engine);
  in.copy = CopyMethod::kernel;
  EXPECT_FALSE(choose(in).engine);
  EXPECT_GT(choose(in).expected_us, 1500);
  in.copy = CopyMethod::automatic;
  in.max_sms = 16;
  EXPECT_FALSE(choose(in).engine);
}

TEST(Choose, OneRunOverNvlinkIsOneEngineCopy) {
  ChooseInput in = scattered(Link::peer, 1);
  EXPECT_TRUE(choose(in).engine);
  EXPECT_EQ(describe(choose(in), in), "copy engine 2D, 1 copy");
  in = scattered(Link::peer, 64);
  in.engine_copies = 1;
  EXPECT_TRUE(choose(in).engine);
}

TEST(Choose, OnACallersStreamOnlyAnExplicitWordTakesTheEngine) {
  ChooseInput in = scattered(Link::peer, 1);
  in.ordered = true;
  EXPECT_FALSE(choose(in).engine);
  in.copy = CopyMethod::engine;
  EXPECT_TRUE(choose(in).engine);
}

TEST(Choose, ContiguousPieceOnOneGpuIsAFlatCopy) {
  ChooseInput in = scattered(Link::same_gpu, 64);
  in.engine_copies = 1;
  in.engine_flat = true;
  EXPECT_TRUE(choose(in).engine);
  EXPECT_EQ(choose(in).streams, 1u);
}

TEST(Choose, EngineOnOneGpuForks) {
  ChooseInput in = scattered(Link::same_gpu, 64);
  in.copy = CopyMethod::engine;
  EXPECT_EQ(choose(in).streams, 4u);
  in.link = Link::peer;
  EXPECT_EQ(choose(in).streams, 1u);
}

TEST(Choose, MisalignedIsGenericWhateverElse) {
  for (const Link link : {Link::same_gpu, Link::peer, Link::host})
    for (const std::uint32_t alignment : {1u, 2u, 4u, 8u}) {
      ChooseInput in = scattered(link, 64, 1000);
      in.copy = CopyMethod::kernel;
      in.alignment = alignment;
      EXPECT_EQ(choose(in).launch.family, Family::generic);
    }
}

TEST(Choose, NoTmaWhereTheDeviceHasNone) {
  ChooseInput in = scattered(Link::peer, 64);
  in.copy = CopyMethod::kernel;
  in.compute_major = 8;
  EXPECT_EQ(choose(in).launch.family, Family::plain);
  in.compute_major = 12;  // has the instructions, but 99 KiB of shared memory
  in.shared_bytes = 101376;
  EXPECT_EQ(choose(in).launch.family, Family::plain);
}

TEST(Choose, HostMemoryHasACostForEachDirection) {
  CopyCosts costs;
  costs.from_host_engine.gap_us = 1;
  ChooseInput in = scattered(Link::host, 64);
  in.costs = &costs;
  EXPECT_TRUE(choose(in).engine);
  in.to_host = true;
  EXPECT_FALSE(choose(in).engine);
}

TEST(Choose, HostMemoryIsTmaOfFewSmsWhereThereIsMuch) {
  ChooseInput in = scattered(Link::host, 64);
  EXPECT_EQ(choose(in).launch.family, Family::tma);
  EXPECT_EQ(choose(in).launch.ctas, 8u);
  in.max_sms = 4;
  EXPECT_EQ(choose(in).launch.ctas, 4u);
  in.max_sms = 0;
  in.alignment = 8;
  EXPECT_EQ(choose(in).launch.ctas, 32u);
  in = scattered(Link::host, 1);
  in.copy = CopyMethod::kernel;
  EXPECT_EQ(choose(in).launch.family, Family::plain);
  EXPECT_EQ(choose(in).launch.ctas, 32u);
}

TEST(Choose, LaunchesHoldTogetherForAnyRow) {
  for (const Link link : {Link::same_gpu, Link::peer, Link::host})
    for (const std::uint32_t budget : {0u, 16u})
      for (const std::uint32_t blocks : {1u, 7u, 4000u})
        for (std::uint64_t row = 1; row < (64u << 20); row = row * 3 + 1) {
          ChooseInput in = scattered(link, blocks, row);
          in.alignment = row % 16 == 0 ? 16 : 1;
          in.copy = CopyMethod::kernel;
          in.max_sms = budget;
          const auto l = choose(in).launch;
          EXPECT_EQ(l.chunk_bytes % 16, 0u);
          EXPECT_GT(l.chunk_bytes, 0u);
          EXPECT_LE(l.threads, 1024u);
          EXPECT_EQ(l.threads % 32, 0u);
          EXPECT_EQ(l.threads % l.group, 0u);
          if (l.family == Family::tma) {
            EXPECT_LE(l.chunk_bytes, kernels::tma_stage_bytes(l.threads / 32));
          }
        }
}

TEST(Choose, AlignmentSeesEveryAddress) {
  plan::Plan p;
  p.row_bytes = 4096;
  p.planes = 2;
  p.source = {{0x1000, 0x2000}, 4096, true, 0x1000};
  p.target = {{0x1000, 0x9000}, 4096, false, 0};
  EXPECT_EQ(alignment_of(p), 16u);
  p.target.plane_base[1] += 4;
  EXPECT_EQ(alignment_of(p), 4u);
  p.source.plane_stride += 2;
  EXPECT_EQ(alignment_of(p), 2u);
  p.row_bytes = 4095;
  EXPECT_EQ(alignment_of(p), 1u);
}

}  // namespace
}  // namespace kvferry::path
