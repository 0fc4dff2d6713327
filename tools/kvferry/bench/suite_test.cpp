#include "bench/suite.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kvferry/error.hpp"

namespace kvferry::cli::bench {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

Topology host_only(std::uint64_t gib = 20) {
  Topology t;
  t.host_bytes = gib * kGiB;
  t.cores = 8;
  t.no_gpus = "no driver";
  return t;
}

Topology with_gpus(std::size_t count, const std::string& link = "nvlink") {
  Topology t = host_only(200);
  t.no_gpus.clear();
  for (std::size_t i = 0; i < count; ++i) {
    t.gpus.push_back({"cuda:" + std::to_string(i), 132, 140 * kGiB});
  }
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = 0; b < count; ++b) {
      if (a != b) t.peers.push_back({a, b, link, link.empty() ? "no peer access" : ""});
    }
  }
  return t;
}

std::vector<std::string> keys(const std::vector<Work>& works) {
  std::vector<std::string> all;
  for (const Work& work : works) all.push_back(work.key());
  return all;
}

TEST(Suite, every_key_names_one_work) {
  for (const Topology& t : {host_only(), host_only(2), with_gpus(1), with_gpus(2), with_gpus(8)}) {
    for (const bool quick : {false, true}) {
      const auto all = keys(make_suite(t, quick).works);
      EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
    }
  }
}

TEST(Suite, without_gpus_host_memory_is_measured_and_the_reason_given) {
  const Suite suite = make_suite(host_only(), false);
  for (const Work& work : suite.works) {
    const bool tcp = work.group == Group::tcp;
    EXPECT_EQ(work.link, tcp ? "loopback" : "host");
    const bool others = tcp && work.path == "openssl";
    EXPECT_TRUE(others || work.path == (tcp ? "tcp" : "host_shm")) << work.key();
    EXPECT_EQ(work.from + work.to, "hosthost");
    EXPECT_TRUE(work.copy == "auto" || work.copy == "prepared") << work.key();
  }
  ASSERT_FALSE(suite.skipped.empty());
  EXPECT_EQ(suite.skipped[0].what, "GPU memory");
  EXPECT_EQ(suite.skipped[0].why, "no driver");
  std::set<Group> groups;
  for (const Work& work : suite.works) groups.insert(work.group);
  EXPECT_THAT(groups, testing::ElementsAre(Group::throughput, Group::blocks, Group::latency,
                                           Group::posting, Group::clients, Group::tcp));
}

TEST(Suite, two_gpus_have_every_acceptance_row) {
  const auto all = keys(make_suite(with_gpus(2), false).works);
  for (const char* key :
       {"throughput/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40",
        "throughput/nvlink/cuda:0-cuda:1/push/scattered/auto/65536x64x40",
        "throughput/nvlink/cuda:1-cuda:0/pull/contiguous/auto/65536x64x40",
        "throughput/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x400x40",
        "throughput/nvlink/cuda:1-cuda:0/pull/scattered/auto/8192x480x40",
        "throughput/same_gpu/cuda:0-cuda:0/pull/scattered/auto/65536x64x40",
        "throughput/same_gpu/cuda:0-cuda:0/pull/scattered/auto/8192x480x40",
        "throughput/host_gpu/host-cuda:0/pull/scattered/auto/65536x64x40",
        "sms/nvlink/cuda:1-cuda:0/pull/scattered/kernel/65536x64x40/16sms",
        "sms/nvlink/cuda:1-cuda:0/pull/scattered/engine/65536x64x40",
        "latency/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x1x40",
        "posting/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x1638x40",
        "clients/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40/64clients/8processes",
        "clients/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40/64clients/64processes",
        "clients/nvlink/cuda:1-cuda:0/pull/scattered/auto/65536x64x40/8servers"}) {
    EXPECT_THAT(all, testing::Contains(std::string(key)));
  }
}

TEST(Suite, many_gpus_have_one_sweep_and_all_headlines) {
  const Suite suite = make_suite(with_gpus(8), false);
  std::set<std::string> pairs, swept;
  for (const Work& work : suite.works) {
    if (work.link != "nvlink") continue;
    (work.group == Group::throughput ? pairs : swept)
        .insert(server_device(work) + ' ' + client_device(work));
  }
  EXPECT_EQ(pairs.size(), 8u * 7u);
  EXPECT_THAT(swept, testing::ElementsAre("cuda:1 cuda:0"));
}

TEST(Suite, the_number_of_pairs_is_bounded_and_said) {
  const Suite suite = make_suite(with_gpus(16), false);
  EXPECT_LE(suite.works.size(), 1000u);
  EXPECT_TRUE(std::ranges::any_of(suite.skipped, [](const Skipped& s) {
    return s.what.find("more pairs of devices") != std::string::npos;
  }));
}

TEST(Suite, gpus_that_do_not_reach_each_other_are_said) {
  const Suite suite = make_suite(with_gpus(2, ""), false);
  EXPECT_TRUE(std::ranges::any_of(suite.skipped, [](const Skipped& s) {
    return s.what == "cuda:0 and cuda:1" && s.why == "no peer access";
  }));
  for (const Work& work : suite.works) EXPECT_FALSE(work.link.empty());
}

TEST(Suite, little_memory_means_smaller_pools_and_says_what_is_left_out) {
  const Topology small = host_only(3);
  const Suite suite = make_suite(small, false);
  std::uint64_t skipped = 0;
  for (const Skipped& s : suite.skipped) skipped += s.what.starts_with("clients/") ? 1 : 0;
  EXPECT_GT(skipped, 0u);
  for (const Work& work : suite.works) {
    EXPECT_LT(work.blocks, 400u * 64u);
    if (work.block_bytes == 65536) {
      EXPECT_LE(pool_blocks(work, small, false), 205u) << work.key();
    }
    if (work.group != Group::clients) continue;
    EXPECT_LE((work.clients + 2) * client_pool_blocks(work) * 65536ull * 40, 3 * kGiB);
  }
}

TEST(Suite, pools_hold_what_is_moved) {
  for (const Topology& t : {host_only(), host_only(2), with_gpus(2)}) {
    for (const bool quick : {false, true}) {
      for (const Work& work : make_suite(t, quick).works) {
        EXPECT_GE(pool_blocks(work, t, quick), work.blocks) << work.key();
        EXPECT_LE(work.layers, kPoolLayers);
        if (work.group == Group::clients) {
          EXPECT_GE(client_pool_blocks(work), work.blocks);
        }
      }
    }
  }
}

TEST(Suite, quick_is_a_part_of_the_whole) {
  const auto all = keys(make_suite(with_gpus(2), false).works);
  const auto quick = keys(make_suite(with_gpus(2), true).works);
  EXPECT_LT(quick.size(), 60u);
  for (const std::string& key : quick) EXPECT_THAT(all, testing::Contains(key));
}

TEST(Suite, block_sizes_have_a_geometry) {
  for (const Work& work : make_suite(with_gpus(2), false).works) {
    const CacheShape shape = shape_for(work.block_bytes, work.layers);
    EXPECT_EQ(shape.block_bytes(), work.block_bytes);
    EXPECT_EQ(shape.layers, work.layers);
    if (work.layout == "kv_apart") {
      EXPECT_EQ(shape.kv, 2u);
    }
  }
  EXPECT_EQ(shape_for(65536, 40), CacheShape{});
  EXPECT_EQ(shape_for(999, 1).block_bytes(), 999u);
  EXPECT_THROW(shape_for(0, 1), Error);
}

TEST(Select, groups_and_parts_of_keys) {
  const Suite suite = make_suite(host_only(), false);
  EXPECT_EQ(select(suite, "").works.size(), suite.works.size());
  for (const Work& work : select(suite, "latency").works) EXPECT_EQ(work.group, Group::latency);
  const auto two = select(suite, "latency,kv_apart").works;
  EXPECT_TRUE(std::ranges::any_of(two, [](const Work& w) { return w.layout == "kv_apart"; }));
  EXPECT_TRUE(std::ranges::any_of(two, [](const Work& w) { return w.group == Group::latency; }));
  // In the order of the suite, whatever the order of the texts.
  EXPECT_EQ(keys(two), keys(select(suite, "kv_apart,latency").works));
}

TEST(Suite, networks_have_every_acceptance_row) {
  Topology t = with_gpus(2);
  t.cores = 32;
  t.usual_streams = 4;
  t.iperf3 = "/usr/bin/iperf3";
  t.no_ucx.clear();
  const auto all = keys(make_suite(t, false).works);
  for (const char* key :
       {"tcp/loopback/host-host/pull/scattered/auto/65536x64x40/1streams",
        "tcp/loopback/host-host/push/scattered/auto/65536x64x40/2streams",
        "tcp/loopback/host-host/pull/scattered/auto/65536x64x40/8streams/tls",
        "tcp/loopback/host-host/pull/scattered/auto/65536x64x40/1streams/checksum",
        "tcp/loopback/host-host/pull/scattered/auto/65536x1x40/1streams",
        "tcp/loopback/cuda:0-cuda:1/push/scattered/auto/65536x1x40/4streams",
        "tcp/loopback/host-host/pull/contiguous/auto/65536x64x40/openssl/8streams/tls",
        "tcp/loopback/host-host/push/contiguous/auto/65536x64x40/iperf3/8streams",
        "tcp/loopback/cuda:1-cuda:0/pull/scattered/auto/65536x64x40/8streams",
        "tcp/loopback/cuda:1-cuda:0/pull/contiguous/auto/65536x64x40/8streams",
        "tcp/loopback/cuda:0-cuda:1/push/scattered/auto/65536x64x40/1streams",
        "tcp/loopback/cuda:0-cuda:1/pull/scattered/auto/65536x64x40/2streams",
        "tcp/loopback/host-cuda:0/pull/scattered/auto/65536x64x40/2streams",
        "tcp/loopback/cuda:1-cuda:0/pull/scattered/auto/65536x1x40/1streams",
        "ucx/loopback/host-host/pull/scattered/auto/65536x64x40",
        "ucx/loopback/cuda:1-cuda:0/pull/contiguous/auto/65536x64x40"}) {
    EXPECT_THAT(all, testing::Contains(std::string(key)));
  }
}

TEST(Suite, networks_say_what_they_leave_out) {
  Topology t = host_only();
  t.cores = 2;
  t.no_ucx = "no card";
  const Suite suite = select(make_suite(t, false), "tcp,ucx,iperf3");
  std::vector<std::string> what;
  for (const Skipped& s : suite.skipped) what.push_back(s.what);
  EXPECT_THAT(what, testing::ElementsAre("tcp with 8 streams", "iperf3", "ucx"));
  for (const Work& work : suite.works) {
    EXPECT_EQ(work.group, Group::tcp);
    EXPECT_GE(work.streams, 1u);
    EXPECT_LE(work.streams, 2u);
  }
  EXPECT_EQ(select(make_suite(t, true), "ucx").works.size(), 0u);
  EXPECT_EQ(select(make_suite(t, true), "ucx").skipped.at(0).why, "no card");
}

TEST(Suite, every_gpu_moves_over_tcp) {
  std::set<std::string> devices;
  for (const Work& work : make_suite(with_gpus(8), false).works) {
    if (work.group == Group::tcp) devices.insert({work.from, work.to});
  }
  EXPECT_EQ(devices.size(), 9u);
}

TEST(Select, what_names_nothing_is_refused) {
  const Suite suite = make_suite(host_only(), false);
  for (const char* text : {"nvlink", "latency,", ",", "latency,thruput"}) {
    try {
      select(suite, text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_THAT(error.what(), testing::HasSubstr("throughput, blocks, sms, latency, posting"));
    }
  }
}

TEST(Suite, the_client_of_a_push_is_where_it_comes_from) {
  Work work;
  work.from = "cuda:0";
  work.to = "host";
  work.direction = "push";
  EXPECT_EQ(client_device(work), "cuda:0");
  EXPECT_EQ(server_device(work), "host");
  work.direction = "pull";
  EXPECT_EQ(client_device(work), "host");
  EXPECT_EQ(copying_device(work), "cuda:0");
  work.to = "cuda:1";
  EXPECT_EQ(copying_device(work), "cuda:1");
  work.from = work.to = "host";
  EXPECT_EQ(copying_device(work), "host");
}

}  // namespace
}  // namespace kvferry::cli::bench
