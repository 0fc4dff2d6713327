#include "doctor/judge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/render.hpp"

namespace kvferry::cli::doctor {
namespace {

using Outcome = PairFact::Outcome;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

PairFact pair_of(const char* local, const char* remote, Outcome outcome, const char* reason = "") {
  PairFact pair;
  pair.local = local;
  pair.remote = remote;
  pair.outcome = outcome;
  pair.path =
      std::string(local) == "host" && std::string(remote) == "host" ? "host_shm" : "cuda_ipc";
  pair.pull_method = pair.push_method = "kernel";
  pair.reason = reason;
  return pair;
}

GpuDevice h200(int ordinal) {
  GpuDevice gpu;
  gpu.ordinal = ordinal;
  gpu.name = "NVIDIA H200";
  gpu.uuid = "GPU-" + std::to_string(ordinal);
  gpu.pci = "0000:0" + std::to_string(ordinal) + ":00.0";
  gpu.compute_major = 9;
  gpu.sms = 132;
  gpu.memory_bytes = 140 * kGiB;
  gpu.memory_free = 139 * kGiB;
  gpu.ecc = true;
  gpu.mig = false;
  gpu.vmm = gpu.posix_fd = true;
  gpu.nvlinks = 18;
  return gpu;
}

// A machine as it should be, with so many GPUs.
Facts machine(int gpus) {
  Facts facts;
  HostFacts& host = facts.host;
  host.system = {"6.1.0", "x86_64", {{"pid", "pid:[4026531836]", true}}, "", UINT32_MAX, 1000};
  host.memory.total = host.memory.available = 64 * kGiB;
  host.memory.shm_bytes = host.memory.shm_free = 32 * kGiB;
  host.memory.collapses = true;
  host.limits.files = host.limits.files_hard = 1024;
  host.cpu.model = "CPU";
  host.cpu.usable = host.cpu.online = 16;
  host.cpu.copies = "avx512 streaming";
  host.cpu.governor = "performance";
  host.socket.runtime_dir = "/run/user/1000";
  host.socket.path = "/run/user/1000/kvferry-5555.sock";
  host.network.nics = {{"eth0", true, 9000, 100'000, {"10.0.0.5"}}};
  facts.sharing.pairs.push_back(pair_of("host", "host", Outcome::verified));
  facts.gpu.built = true;
  facts.gpu.why_none = gpus == 0 ? "no NVIDIA driver" : "";
  if (gpus > 0) host.nvidia.module_version = facts.gpu.driver = "580.65.06";
  for (int i = 0; i < gpus; ++i) {
    const std::string name = "cuda:" + std::to_string(i);
    facts.gpu.devices.push_back(h200(i));
    facts.gpu.installed.push_back(facts.gpu.devices.back().uuid);
    host.nvidia.nodes.push_back("/dev/nvidia" + std::to_string(i));
    facts.sharing.pairs.push_back(pair_of("host", name.c_str(), Outcome::verified));
    for (int other = 0; other < gpus; ++other) {
      if (other != i) facts.gpu.peers.push_back({i, other, true, true, "nvlink", 18, ""});
    }
  }
  return facts;
}

const Check& find(const Diagnosis& diagnosis, const std::string& name) {
  for (const Check& check : diagnosis.checks) {
    if (check.name == name) return check;
  }
  throw std::out_of_range(name);
}

// The state of one check after the facts were changed.
template <typename F>
Check after(int gpus, const std::string& name, F&& change) {
  Facts facts = machine(gpus);
  change(facts);
  return find(diagnose(facts), name);
}

TEST(Doctor, finds_nothing_on_machines_as_they_should_be) {
  for (const int gpus : {0, 1, 2, 8}) {
    const Diagnosis diagnosis = diagnose(machine(gpus));
    EXPECT_EQ(diagnosis.findings(), 0u) << to_text(machine(gpus), diagnosis);
    EXPECT_THAT(summary(diagnosis), testing::StartsWith("healthy: "));
    EXPECT_EQ(diagnosis.paths[0].usable, gpus > 0);
    EXPECT_TRUE(diagnosis.paths[1].usable);
  }
}

TEST(Doctor, says_what_to_do_about_every_finding) {
  Facts facts = machine(2);
  facts.host.kernel = {"F_ADD_SEALS: EINVAL", "pidfd_open: ENOSYS", "no", "2"};
  facts.host.memory.available = 1 << 20;
  facts.host.limits = {0, 10, 10, 4096, kGiB, 100};
  facts.host.socket = {"", "", "it is open to others"};
  facts.host.nvidia.visible_devices = "0,7,1";
  facts.host.nvidia.closed_nodes = {"/dev/nvidia1"};
  facts.host.network.nics.clear();
  facts.host.network.rdma.cards = {{"mlx5_0", "DOWN", ""}};
  facts.host.network.rdma.library_missing = "libucp.so.0 is not there";
  facts.gpu.devices[0].compute_mode = 3;
  facts.gpu.devices[0].compute_major = 7;
  facts.gpu.devices[1].mig = true;
  facts.gpu.devices[1].posix_fd = false;
  for (PeerLink& peer : facts.gpu.peers) peer.access = false;
  for (PairFact& pair : facts.sharing.pairs) {
    pair.outcome = Outcome::failed;
    pair.reason = "refused";
  }
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_GE(diagnosis.findings(), 15u) << to_text(facts, diagnosis);
  for (const Check& check : diagnosis.checks) {
    if (!is_finding(check)) continue;
    EXPECT_THAT(check.advice, Not(IsEmpty())) << check.name;
    EXPECT_THAT(check.meaning, Not(IsEmpty())) << check.name;
    EXPECT_THAT(check.value, Not(IsEmpty())) << check.name;
  }
  for (const PathState& path : diagnosis.paths) EXPECT_FALSE(path.usable) << path.path;
  EXPECT_THAT(summary(diagnosis), HasSubstr("no path is usable"));
}

TEST(DoctorHost, a_containers_small_shm_is_a_note_because_pools_are_memfds) {
  const Check check = after(0, "/dev/shm", [](Facts& f) { f.host.memory.shm_bytes = 64 << 20; });
  EXPECT_EQ(check.state, State::note);
  EXPECT_THAT(check.advice, HasSubstr("--shm-size"));
}

TEST(DoctorHost, memory) {
  const auto with = [](std::uint64_t bytes) {
    return after(0, "free", [=](Facts& f) { f.host.memory.available = bytes; }).state;
  };
  EXPECT_EQ(with(100 << 20), State::warning);
  EXPECT_EQ(with(2 * kGiB), State::note);
  EXPECT_EQ(with(4 * kGiB), State::ok);
  const auto pages = [](Facts& f) { f.host.memory.collapses = false; };
  EXPECT_EQ(after(0, "huge pages", pages).state, State::note);
}

TEST(DoctorHost, limits) {
  const auto files = [](std::uint64_t soft, std::uint64_t hard) {
    return after(0, "open files", [=](Facts& f) {
      f.host.limits.files = soft;
      f.host.limits.files_hard = hard;
    });
  };
  EXPECT_EQ(files(1024, 4096).state, State::ok);
  EXPECT_EQ(files(256, 4096).state, State::warning);
  EXPECT_EQ(files(256, 4096).advice, "ulimit -n 4096");
  EXPECT_THAT(files(256, 256).advice, HasSubstr("LimitNOFILE"));
  EXPECT_EQ(files(32, 32).state, State::problem);
  const auto file = [](Facts& f) { f.host.limits.file_bytes = kGiB; };
  EXPECT_EQ(after(0, "file size", file).state, State::warning);
}

TEST(DoctorHost, locked_memory_is_a_finding_only_where_pinning_fails) {
  const auto none = [](Facts& f) { f.host.limits.memlock = 0; };
  EXPECT_EQ(after(1, "locked memory", none).state, State::note);
  const auto failing = [](Facts& f) {
    f.host.limits.memlock = 8 << 20;
    f.sharing.pairs.back().outcome = Outcome::failed;
  };
  EXPECT_EQ(after(1, "locked memory", failing).state, State::warning);
  EXPECT_EQ(after(0, "locked memory", [](Facts&) {}).state, State::ok);
}

TEST(DoctorHost, namespaces_are_named_where_they_are_not_the_machines) {
  const Check check = after(0, "namespaces", [](Facts& f) {
    f.host.system.namespaces = {
        {"pid", "pid:[1]", false}, {"ipc", "ipc:[2]", true}, {"mnt", "", {}}};
  });
  EXPECT_EQ(check.state, State::note);
  EXPECT_EQ(check.value, "own pid (not known: mnt)");
}

TEST(DoctorHost, the_socket) {
  const auto longer = [](Facts& f) { f.host.socket.path = "/" + std::string(120, 'x'); };
  EXPECT_EQ(after(0, "socket", longer).state, State::warning);
  const auto unfit = [](Facts& f) { f.host.socket.path = "/tmp/kvferry-1000/kvferry-5555.sock"; };
  EXPECT_EQ(after(0, "socket", unfit).state, State::note);
}

TEST(DoctorGpu, a_driver_without_a_build_for_it_is_a_finding_and_its_absence_none) {
  const auto host_only = [](Facts& f) {
    f.gpu = {};
    f.gpu.why_none = "built without CUDA";
  };
  EXPECT_EQ(after(0, "CUDA", host_only).state, State::ok);
  EXPECT_EQ(after(1, "CUDA", host_only).state, State::warning);
}

TEST(DoctorGpu, no_gpu_to_use_is_a_problem_only_where_there_is_a_driver) {
  const auto none = [](Facts& f) {
    f.gpu.devices.clear();
    f.gpu.why_none = "no GPU";
  };
  EXPECT_EQ(after(0, "CUDA", none).state, State::note);
  EXPECT_EQ(after(1, "CUDA", none).state, State::problem);
  const auto hidden = [&](Facts& f) {
    none(f);
    f.host.nvidia.visible_devices = "";
  };
  EXPECT_EQ(after(1, "CUDA", hidden).state, State::note);
  const auto not_passed_on = [&](Facts& f) {
    none(f);
    f.host.nvidia.nodes.clear();
  };
  EXPECT_THAT(after(1, "CUDA", not_passed_on).advice, HasSubstr("--gpus all"));
}

TEST(DoctorGpu, a_driver_that_hangs) {
  Facts facts = machine(0);
  facts.gpu.late = "no answer within 30 s";
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(find(diagnosis, "driver").state, State::problem);
  EXPECT_FALSE(diagnosis.paths[0].usable);
}

TEST(DoctorGpu, modes) {
  const auto exclusive = [](Facts& f) { f.gpu.devices[0].compute_mode = 3; };
  EXPECT_EQ(after(1, "cuda:0 compute mode", exclusive).state, State::problem);
  EXPECT_THAT(after(1, "cuda:0 compute mode", exclusive).advice, HasSubstr("-c DEFAULT"));
  const auto mps = [](Facts& f) {
    f.gpu.devices[0].compute_mode = 3;
    f.gpu.devices[0].mps = true;
  };
  EXPECT_EQ(after(1, "cuda:0 compute mode", mps).state, State::ok);
  EXPECT_THAT(after(1, "cuda:0 processes", mps).value, HasSubstr("side by side"));
  EXPECT_THAT(after(1, "cuda:0 processes", exclusive).value, HasSubstr("turns"));
  const auto mig = [](Facts& f) { f.gpu.devices[0].mig = true; };
  EXPECT_EQ(after(1, "cuda:0 MIG", mig).state, State::warning);
  const auto unknown = [](Facts& f) { f.gpu.devices[0].mig.reset(); };
  EXPECT_EQ(after(1, "cuda:0 MIG", unknown).value, "unknown");
  const auto no_fd = [](Facts& f) { f.gpu.devices[0].posix_fd = false; };
  EXPECT_EQ(after(1, "cuda:0 handles", no_fd).state, State::problem);
  const auto old = [](Facts& f) { f.gpu.devices[0].compute_major = 7; };
  EXPECT_EQ(after(1, "cuda:0", old).state, State::warning);
}

TEST(DoctorGpu, visible_devices) {
  const auto with = [](const char* value) {
    return after(2, "CUDA_VISIBLE_DEVICES",
                 [=](Facts& f) { f.host.nvidia.visible_devices = value; });
  };
  EXPECT_EQ(with("1,0").state, State::ok);
  EXPECT_EQ(with("0,2,1").state, State::warning);
  EXPECT_THAT(with("0,2,1").meaning, HasSubstr("hides 1"));
  EXPECT_EQ(with("0,0").state, State::problem);
  Facts none = machine(0);
  none.host.nvidia.visible_devices = "0,0";
  EXPECT_EQ(diagnose(none).findings(), 0u);
}

TEST(DoctorPeers, without_access) {
  Facts facts = machine(2);
  facts.gpu.peers[0].access = false;
  facts.gpu.peers[0].note = "the chipset does not support it";
  PairFact pair = pair_of("cuda:0", "cuda:1", Outcome::failed, "no peer access");
  facts.sharing.pairs.push_back(pair);
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(find(diagnosis, "peer access").state, State::warning);
  EXPECT_THAT(find(diagnosis, "peer access").meaning, HasSubstr("chipset"));
  EXPECT_EQ(find(diagnosis, "cuda:0 <-> cuda:1").state, State::warning);
  EXPECT_THAT(peer_matrix(facts.gpu), HasSubstr("cuda:0      -         none"));
  EXPECT_THAT(peer_matrix(facts.gpu), HasSubstr("cuda:1      NV18*     -"));
}

TEST(DoctorSharing, blocks_that_do_not_arrive_although_all_flags_are_well) {
  Facts facts = machine(2);
  facts.sharing.pairs.push_back(pair_of("cuda:0", "cuda:1", Outcome::failed, "4 bytes are wrong"));
  facts.sharing.pairs.push_back(pair_of("cuda:1", "cuda:0", Outcome::late, "no answer"));
  facts.sharing.pairs.push_back(pair_of("cuda:1", "cuda:1", Outcome::left_out, "not tried"));
  const Diagnosis diagnosis = diagnose(facts);
  EXPECT_EQ(find(diagnosis, "cuda:0 <-> cuda:1").state, State::problem);
  EXPECT_EQ(find(diagnosis, "cuda:1 <-> cuda:0").state, State::problem);
  EXPECT_THAT(find(diagnosis, "cuda:1 <-> cuda:0").advice, HasSubstr("xid"));
  EXPECT_EQ(find(diagnosis, "cuda:1 <-> cuda:1").state, State::note);
  EXPECT_TRUE(diagnosis.paths[0].usable);  // host <-> cuda:N were verified
  EXPECT_EQ(diagnosis.paths[0].reason, "4 bytes are wrong");
  EXPECT_EQ(summary(diagnosis),
            "2 findings: 2 problems, 0 warnings; usable: cuda_ipc, host_shm, tcp");
}

TEST(DoctorSharing, attached_memory_that_ptrace_forbids_is_a_note) {
  Facts facts = machine(0);
  PairFact pair = pair_of("host", "host", Outcome::failed, "process_vm_readv: not permitted");
  pair.private_memory = true;
  facts.sharing.pairs.push_back(pair);
  EXPECT_THAT(find(diagnose(facts), "host <-> host (attached)").advice, HasSubstr("ptrace_scope"));
  EXPECT_EQ(diagnose(facts).findings(), 0u);
  // Where nothing could be shared at all, it says nothing about ptrace.
  facts.sharing.pairs[0].outcome = Outcome::failed;
  EXPECT_EQ(find(diagnose(facts), "host <-> host (attached)").advice, "");
}

TEST(DoctorText, of_a_large_machine_is_a_grid) {
  Facts facts = machine(8);
  for (int from = 0; from < 8; ++from) {
    for (int to = 0; to < 8; ++to) {
      facts.sharing.pairs.push_back(
          pair_of(("cuda:" + std::to_string(from)).c_str(), ("cuda:" + std::to_string(to)).c_str(),
                  from == 3 && to == 4 ? Outcome::failed : Outcome::verified, "an Xid"));
    }
  }
  const std::string text = to_text(facts, diagnose(facts));
  EXPECT_THAT(text, HasSubstr("FAILED"));
  EXPECT_THAT(text, HasSubstr("cuda:3 <-> cuda:4"));
  EXPECT_THAT(text, Not(HasSubstr("cuda:0 <-> cuda:1")));
  EXPECT_THAT(text, Not(HasSubstr("cuda:5 MIG")));
  EXPECT_THAT(text, HasSubstr("\n1 finding: "));
}

}  // namespace
}  // namespace kvferry::cli::doctor
