#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// What the probes found, as it is: no judgement. nullopt and "" mean that the system does not say.
namespace kvferry::cli::doctor {

struct NamespaceFact {
  std::string kind;             // "pid", "ipc", "user", "mnt", "cgroup", "net"
  std::string id;               // "pid:[4026531836]"
  std::optional<bool> initial;  // the one the machine booted with
};

struct SystemFacts {
  std::string kernel;   // "6.1.0-18-amd64"
  std::string machine;  // "x86_64"
  std::vector<NamespaceFact> namespaces;
  std::string container;                  // what shows that this is one; empty: nothing does
  std::optional<std::uint64_t> user_ids;  // how many user ids this user namespace maps
  std::uint32_t uid = 0;
};

struct MemoryFacts {
  std::optional<std::uint64_t> total, available;  // of the machine; that this process can take
  std::optional<std::uint64_t> cgroup_limit;      // the tightest; nullopt: none
  std::optional<std::uint64_t> shm_bytes, shm_free;
  std::string thp, shmem_thp;  // the word in brackets: "madvise", "never"
  std::optional<std::uint64_t> huge_total, huge_free, huge_bytes;  // reserved huge pages
  bool collapses = false;  // MADV_COLLAPSE makes huge pages of shared memory
};

// Soft limits; nullopt: unlimited.
struct LimitFacts {
  std::optional<std::uint64_t> memlock, files, files_hard, file_bytes, address_space, processes;
};

struct CpuFacts {
  std::string model;
  unsigned usable = 0, online = 0;  // cores this process may run on, and all
  std::string copies;               // how host_shm copies here: "avx512 streaming"
  bool avx2 = false, avx512 = false;
  std::string governor;
  std::vector<std::string> nodes;  // "0-15,32-47": the cores of each NUMA node
  std::vector<int> node_ids;
  std::string usable_list;  // "0-3"
};

// What the kernel lets us do; the texts say why not, empty: it works.
struct KernelFacts {
  std::string memfd_seal, pidfd, peer_credentials;
  std::string ptrace_scope;  // yama's number; empty: no yama
};

struct SocketFacts {
  std::string runtime_dir;  // XDG_RUNTIME_DIR as it is set
  std::string path;         // where serve would listen
  std::string refusal;      // why it would not; then `path` is empty
};

// Seen without any library of NVIDIA's.
struct NvidiaFacts {
  std::string module_version;                  // of the kernel module; empty: not loaded
  std::vector<std::string> nodes;              // /dev/nvidia0, ...
  std::vector<std::string> closed_nodes;       // of them those this user cannot open
  std::optional<std::string> visible_devices;  // CUDA_VISIBLE_DEVICES; nullopt: not set
};

struct NicFact {
  std::string name;
  bool up = false;
  std::optional<std::uint64_t> mtu, mbit_per_s;
  std::vector<std::string> addresses;
};

struct RdmaCard {
  std::string name, state, rate;  // "mlx5_0", "ACTIVE", "400 Gb/sec (4X NDR)": of its first port
};

// For path ucx.
struct RdmaFacts {
  std::string library;          // "UCX 1.13.1"; empty: none
  std::string library_missing;  // why there is none
  std::vector<RdmaCard> cards;
  bool gpu_direct = false;  // nvidia_peermem is loaded: cards read and write GPU memory by it
};

struct NetworkFacts {
  std::string tls;         // "OpenSSL 3.0.19 27 Jan 2026": of the library this program runs with
  std::string congestion;  // of new TCP connections: "cubic"
  std::vector<std::string> congestion_available;  // to this user
  std::vector<NicFact> nics;                      // without loopback
  std::string default_route;                      // "eth0 via 10.0.0.1"; empty: none (IPv4)
  RdmaFacts rdma;
};

struct HostFacts {
  SystemFacts system;
  MemoryFacts memory;
  LimitFacts limits;
  CpuFacts cpu;
  KernelFacts kernel;
  SocketFacts socket;
  NvidiaFacts nvidia;
  NetworkFacts network;
};

struct GpuDevice {
  int ordinal = 0;
  std::string name, uuid, pci;
  int compute_major = 0, compute_minor = 0, sms = 0;
  std::uint64_t memory_bytes = 0;
  std::optional<std::uint64_t> memory_free;
  std::optional<bool> ecc, mig;
  bool mps = false;
  int compute_mode = 0;  // CUDA's: 0 default, 2 prohibited, 3 exclusive to one process
  bool vmm = false, posix_fd = false, fabric = false, gpu_direct_rdma = false;
  std::optional<int> numa_node;
  std::optional<int> nvlinks;  // active ones
  std::optional<int> clock_mhz, max_clock_mhz;
};

// One direction: kernels on `from` use memory of `to`.
struct PeerLink {
  int from = 0, to = 0;
  bool access = false, native_atomics = false;
  std::string link;  // "nvlink", "pcie", or "" where nothing says
  int links = 0;     // NVLinks; through switches: the fewer of the two GPUs
  std::string note;  // the way over PCIe, or why there is no access
};

struct GpuFacts {
  bool built = false;                     // this build has CUDA
  std::string why_none;                   // why there is no GPU to use; empty: there is
  std::string late;                       // the driver did not answer: what was waited for
  std::string driver;                     // "580.65.06"
  int cuda_driver = 0, cuda_runtime = 0;  // 13000: 13.0
  std::string nvml_missing;               // why NVML could not be asked; empty: it was
  std::vector<std::string> installed;     // UUIDs of all GPUs the driver shows
  std::vector<GpuDevice> devices;
  std::vector<PeerLink> peers;
};

// What came of moving blocks between two processes.
struct PairFact {
  enum class Outcome : std::uint8_t { verified, failed, late, left_out };
  std::string local,
      remote;  // "host", "cuda:0": where the moving process's pool lies, and the other
  bool private_memory = false;  // the owner's pool is attached private memory
  Outcome outcome = Outcome::left_out;
  std::string path, pull_method, push_method;
  std::uint64_t bytes = 0;  // compared
  double seconds = 0;       // of the pair, mapping included
  std::string reason;       // unless verified
};

struct SharingFacts {
  std::vector<PairFact> pairs;
  std::vector<std::string> left_out;  // in words
};

struct Facts {
  HostFacts host;
  GpuFacts gpu;
  SharingFacts sharing;
};

}  // namespace kvferry::cli::doctor
