// The parts of doctor that are no judgement: reading, CUDA_VISIBLE_DEVICES, facts as JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "doctor/facts_json.hpp"
#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "doctor/render.hpp"
#include "doctor/visible_devices.hpp"
#include "kvferry/error.hpp"

namespace kvferry::cli::doctor {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A made-up root directory for the probes.
class FakeRoot : public testing::Test {
 protected:
  ~FakeRoot() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text;
  }
  const std::string root_ = testing::TempDir() + "kvferry-doctor-" + std::to_string(::getpid());
};

TEST(VisibleDevices, are_read_as_cuda_reads_them) {
  const std::vector<std::string> gpus{"GPU-aa11", "GPU-aa22", "GPU-bb33"};
  const auto read = [&](const char* value) { return read_visible_devices(value, gpus); };
  EXPECT_THAT(read("2, 0").shown, ElementsAre("2", "0"));
  EXPECT_THAT(read("GPU-bb,0").shown, ElementsAre("GPU-bb", "0"));
  EXPECT_THAT(read("GPU-aa,0").bad, ElementsAre("GPU-aa"));  // two begin so
  EXPECT_THAT(read("0,3,1").shown, ElementsAre("0"));
  EXPECT_THAT(read("0,3,1").bad, ElementsAre("3"));
  EXPECT_THAT(read("0,3,1").hidden, ElementsAre("1"));
  EXPECT_THAT(read("0,x").bad, ElementsAre("x"));
  EXPECT_THAT(read("0,").bad, ElementsAre(""));
  EXPECT_EQ(read("1,GPU-aa22").twice, "GPU-aa22");
  EXPECT_THAT(read("1,1").shown, IsEmpty());
  EXPECT_THAT(read("").bad, IsEmpty());
  EXPECT_THAT(read("MIG-1234").shown, ElementsAre("MIG-1234"));
  EXPECT_THAT(read_visible_devices("7", {}).shown, ElementsAre("7"));
}

TEST_F(FakeRoot, reading_is_bounded_and_forgiving) {
  put("/large", std::string(kMaxFileBytes + 100, 'x'));
  EXPECT_EQ(read_file(root_ + "/large").size(), kMaxFileBytes);
  EXPECT_EQ(read_file(root_ + "/absent"), "");
  EXPECT_EQ(read_file(root_), "");
  EXPECT_EQ(read_number(root_ + "/absent"), std::nullopt);
  put("/word", "  17 pages\nmore\n");
  EXPECT_EQ(read_word(root_ + "/word"), "17 pages");
  EXPECT_EQ(read_number(root_ + "/word"), 17u);
  EXPECT_EQ(field_of("MemTotalX: 1\nMemTotal:  2 kB", "MemTotal"), 2u);
  EXPECT_EQ(field_of("MemTotal: none", "MemTotal"), std::nullopt);
  EXPECT_EQ(text_field("a: b\nmodel name\t: X  Y \n", "model name"), "X  Y");
  EXPECT_EQ(bracketed("always [madvise] never"), "madvise");
  EXPECT_EQ(bracketed("0"), "0");
}

TEST_F(FakeRoot, an_empty_machine_is_read_without_complaint) {
  fs::create_directories(root_);
  EXPECT_THAT(probe_system(root_).namespaces, IsEmpty());
  EXPECT_EQ(probe_memory(root_).total, std::nullopt);
  EXPECT_EQ(probe_memory(root_).cgroup_limit, std::nullopt);
  EXPECT_THAT(probe_cpu(root_).nodes, IsEmpty());
  EXPECT_EQ(probe_kernel(root_).ptrace_scope, "");
  EXPECT_THAT(probe_nvidia(root_).nodes, IsEmpty());
}

TEST_F(FakeRoot, the_tightest_cgroup_counts_in_both_versions) {
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/sys/fs/cgroup/a/memory.max", "4000\n");
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(probe_memory(root_).cgroup_limit, 4000u);
  put("/sys/fs/cgroup/a/b/memory.max", "3000\n");
  EXPECT_EQ(probe_memory(root_).cgroup_limit, 3000u);
  put("/proc/self/cgroup", "4:memory:/c\n0::/\n");
  put("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "2000\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(probe_memory(root_).cgroup_limit, 2000u);
}

TEST_F(FakeRoot, the_driver_and_its_device_files) {
  put("/proc/driver/nvidia/version",
      "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n");
  for (const char* const name : {"nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "null"}) {
    put(std::string("/dev/") + name, "");
  }
  const NvidiaFacts facts = probe_nvidia(root_);
  EXPECT_EQ(facts.module_version, "580.65.06");
  EXPECT_THAT(facts.nodes, ElementsAre("/dev/nvidia0", "/dev/nvidia12"));
  EXPECT_THAT(facts.closed_nodes, IsEmpty());
}

TEST_F(FakeRoot, numa_nodes_without_cores_are_left_out) {
  put("/sys/devices/system/node/node0/cpulist", "0-3\n");
  put("/sys/devices/system/node/node2/cpulist", "\n");
  put("/sys/devices/system/node/node10/cpulist", "4-7\n");
  EXPECT_THAT(probe_cpu(root_).nodes, ElementsAre("0-3", "4-7"));
  EXPECT_THAT(probe_cpu(root_).node_ids, ElementsAre(0, 10));
}

TEST(Probes, of_this_machine) {
  const KernelFacts kernel = probe_kernel();
  EXPECT_EQ(kernel.memfd_seal, "");
  EXPECT_EQ(kernel.peer_credentials, "");
  EXPECT_GT(probe_cpu().usable, 0u);
  EXPECT_GT(probe_memory().total.value_or(0), 0u);
}

TEST(FactsJson, comes_back_as_it_was) {
  GpuFacts facts;
  facts.built = true;
  facts.driver = "580";
  facts.cuda_driver = 13000;
  facts.installed = {"GPU-1"};
  GpuDevice gpu;
  gpu.name = "H";
  gpu.memory_free = 5;
  gpu.mig = gpu.mps = true;
  gpu.fabric = true;
  facts.devices = {gpu};
  facts.peers = {{0, 1, true, false, "nvlink", 18, "x"}};
  const Json json = to_json(facts);
  EXPECT_EQ(to_json(gpu_facts_of(json)), json);
  PairFact pair;
  pair.local = "host";
  pair.outcome = PairFact::Outcome::late;
  pair.reason = "r";
  EXPECT_EQ(to_json(doctor::pair_of(to_json(pair))), to_json(pair));
}

TEST(FactsJson, that_is_cut_off_is_an_error_and_no_crash) {
  EXPECT_THROW(gpu_facts_of(Json::parse("{\"built\": ", nullptr, false)), Error);
  EXPECT_THROW(gpu_facts_of(Json::parse("{\"built\": 3}")), Error);
  EXPECT_THROW(doctor::pair_of(Json::parse("[]")), Error);
}

TEST(Document, is_written_for_failures_too) {
  const auto json = Json::parse(to_document({}, {}, 130, Failure{"cancelled", 130, "interrupted"}));
  EXPECT_EQ(json.at("exit_code"), 130);
  EXPECT_EQ(json.at("healthy"), false);
  EXPECT_EQ(json.at("error").at("code"), "cancelled");
}

}  // namespace
}  // namespace kvferry::cli::doctor
