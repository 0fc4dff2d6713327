#include "doctor/cuda_nvml.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string_view>

namespace kvferry::cli::doctor {
namespace {

// The part of nvml.h that is used here. Its ABI is stable: a changed call gets a new name (_v2).
using Result = int;  // 0: success
constexpr Result kSuccess = 0;
constexpr unsigned kMaxLinks = 18;  // NVML_NVLINK_MAX_LINKS
constexpr unsigned kClockSm = 1;    // NVML_CLOCK_SM
constexpr int kP2pRead = 0, kP2pNvlink = 2;

struct MemoryInfo {
  unsigned long long total, free, used;
};
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

std::string_view obstacle(int status) {
  switch (status) {
    case 1: return "the chipset does not support it";
    case 2: return "these GPUs do not support it";
    case 3: return "the PCIe topology between them does not support it";
    case 4: return "it is switched off by a setting of the driver";
    case 5: return "the driver does not support it here";
    default: return {};
  }
}

// nvmlGpuTopologyLevel_t
std::string_view way(int level) {
  switch (level) {
    case 0: return "one board";
    case 10: return "one PCIe switch";
    case 20: return "several PCIe switches";
    case 30: return "the CPU's host bridge";
    case 40: return "host bridges of one NUMA node";
    case 50: return "the link between CPU sockets";
    default: return {};
  }
}

}  // namespace

struct Nvml::Calls {
  void* library = nullptr;
  Result (*init)() = nullptr;
  Result (*shutdown)() = nullptr;
  const char* (*error_string)(Result) = nullptr;
  Result (*driver_version)(char*, unsigned) = nullptr;
  Result (*count)(unsigned*) = nullptr;
  Result (*by_index)(unsigned, Gpu*) = nullptr;
  Result (*by_pci)(const char*, Gpu*) = nullptr;
  Result (*uuid)(Gpu, char*, unsigned) = nullptr;
  Result (*memory)(Gpu, MemoryInfo*) = nullptr;
  Result (*ecc)(Gpu, unsigned*, unsigned*) = nullptr;
  Result (*mig)(Gpu, unsigned*, unsigned*) = nullptr;
  Result (*clock)(Gpu, unsigned, unsigned*) = nullptr;
  Result (*max_clock)(Gpu, unsigned, unsigned*) = nullptr;
  Result (*link_state)(Gpu, unsigned, unsigned*) = nullptr;
  Result (*link_remote)(Gpu, unsigned, PciInfo*) = nullptr;
  Result (*pci)(Gpu, PciInfo*) = nullptr;
  Result (*p2p)(Gpu, Gpu, int, int*) = nullptr;
  Result (*ancestor)(Gpu, Gpu, int*) = nullptr;

  template <typename F>
  void find(const char* symbol, F& function) {
    function = reinterpret_cast<F>(::dlsym(library, symbol));
  }
  void find_all() {
    find("nvmlInit_v2", init);
    find("nvmlShutdown", shutdown);
    find("nvmlErrorString", error_string);
    find("nvmlSystemGetDriverVersion", driver_version);
    find("nvmlDeviceGetCount_v2", count);
    find("nvmlDeviceGetHandleByIndex_v2", by_index);
    find("nvmlDeviceGetHandleByPciBusId_v2", by_pci);
    find("nvmlDeviceGetUUID", uuid);
    find("nvmlDeviceGetMemoryInfo", memory);
    find("nvmlDeviceGetEccMode", ecc);
    find("nvmlDeviceGetMigMode", mig);
    find("nvmlDeviceGetClockInfo", clock);
    find("nvmlDeviceGetMaxClockInfo", max_clock);
    find("nvmlDeviceGetNvLinkState", link_state);
    find("nvmlDeviceGetNvLinkRemotePciInfo_v2", link_remote);
    find("nvmlDeviceGetPciInfo_v3", pci);
    find("nvmlDeviceGetP2PStatus", p2p);
    find("nvmlDeviceGetTopologyCommonAncestor", ancestor);
  }
  ~Calls() {
    if (library != nullptr) ::dlclose(library);
  }
};

Nvml::Nvml(std::unique_ptr<Calls> calls) noexcept : calls_(std::move(calls)) {}
Nvml::~Nvml() {
  if (calls_->shutdown != nullptr) calls_->shutdown();
}

std::unique_ptr<Nvml> Nvml::open(std::string& why) {
  auto calls = std::make_unique<Calls>();
  calls->library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (calls->library == nullptr) {
    const char* const text =
        ::dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps one a thread
    why = text == nullptr ? "libnvidia-ml.so.1 cannot be opened" : text;
    return nullptr;
  }
  calls->find_all();
  if (calls->init == nullptr) {
    why = "libnvidia-ml.so.1 has no nvmlInit_v2";
    return nullptr;
  }
  if (const Result result = calls->init(); result != kSuccess) {
    why = calls->error_string == nullptr ? fmt::format("nvmlInit: error {}", result)
                                         : fmt::format("nvmlInit: {}", calls->error_string(result));
    return nullptr;
  }
  return std::unique_ptr<Nvml>(new Nvml(std::move(calls)));
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  if (calls_->driver_version == nullptr ||
      calls_->driver_version(text.data(), text.size() - 1) != kSuccess) {
    return {};
  }
  return text.data();
}

std::vector<std::string> Nvml::uuids() const {
  std::vector<std::string> found;
  unsigned count = 0;
  if (calls_->count == nullptr || calls_->by_index == nullptr || calls_->uuid == nullptr ||
      calls_->count(&count) != kSuccess) {
    return found;
  }
  for (unsigned i = 0; i < count; ++i) {
    Gpu gpu = nullptr;
    std::array<char, 128> text{};
    const bool read = calls_->by_index(i, &gpu) == kSuccess &&
                      calls_->uuid(gpu, text.data(), text.size() - 1) == kSuccess;
    found.emplace_back(read ? text.data() : "");
  }
  return found;
}

Nvml::Gpu Nvml::find(const std::string& pci) const {
  Gpu gpu = nullptr;
  if (calls_->by_pci == nullptr || calls_->by_pci(pci.c_str(), &gpu) != kSuccess) return nullptr;
  return gpu;
}

namespace {

std::optional<bool> switched_on(Result (*call)(Nvml::Gpu, unsigned*, unsigned*), Nvml::Gpu gpu) {
  unsigned current = 0, pending = 0;
  if (call == nullptr || gpu == nullptr || call(gpu, &current, &pending) != kSuccess) {
    return std::nullopt;
  }
  return current != 0;
}

std::optional<int> clock_of(Result (*call)(Nvml::Gpu, unsigned, unsigned*), Nvml::Gpu gpu) {
  unsigned mhz = 0;
  if (call == nullptr || gpu == nullptr || call(gpu, kClockSm, &mhz) != kSuccess) {
    return std::nullopt;
  }
  return static_cast<int>(mhz);
}

}  // namespace

std::optional<bool> Nvml::ecc(Gpu gpu) const { return switched_on(calls_->ecc, gpu); }
std::optional<bool> Nvml::mig(Gpu gpu) const { return switched_on(calls_->mig, gpu); }
std::optional<int> Nvml::sm_clock_mhz(Gpu gpu) const { return clock_of(calls_->clock, gpu); }
std::optional<int> Nvml::max_sm_clock_mhz(Gpu gpu) const {
  return clock_of(calls_->max_clock, gpu);
}

std::optional<std::uint64_t> Nvml::free_memory(Gpu gpu) const {
  MemoryInfo info{};
  if (calls_->memory == nullptr || gpu == nullptr || calls_->memory(gpu, &info) != kSuccess) {
    return std::nullopt;
  }
  return info.free;
}

std::optional<int> Nvml::active_nvlinks(Gpu gpu) const {
  if (calls_->link_state == nullptr || gpu == nullptr) return std::nullopt;
  int active = 0;
  for (unsigned link = 0; link < kMaxLinks; ++link) {
    unsigned state = 0;
    if (calls_->link_state(gpu, link, &state) == kSuccess && state != 0) ++active;
  }
  return active;
}

bool Nvml::joined_by_nvlink(Gpu one, Gpu other) const {
  int status = -1;
  return calls_->p2p != nullptr && one != nullptr && other != nullptr &&
         calls_->p2p(one, other, kP2pNvlink, &status) == kSuccess && status == 0;
}

int Nvml::direct_nvlinks(Gpu one, Gpu other) const {
  PciInfo there{};
  if (calls_->link_remote == nullptr || calls_->pci == nullptr || one == nullptr ||
      other == nullptr || calls_->pci(other, &there) != kSuccess) {
    return 0;
  }
  int links = 0;
  for (unsigned link = 0; link < kMaxLinks; ++link) {
    PciInfo remote{};
    if (calls_->link_remote(one, link, &remote) != kSuccess) continue;
    links +=
        remote.domain == there.domain && remote.bus == there.bus && remote.device == there.device;
  }
  return links;
}

std::string Nvml::pcie_way(Gpu one, Gpu other) const {
  int level = -1;
  if (calls_->ancestor == nullptr || one == nullptr || other == nullptr ||
      calls_->ancestor(one, other, &level) != kSuccess) {
    return {};
  }
  return std::string(way(level));
}

std::string Nvml::read_obstacle(Gpu one, Gpu other) const {
  int status = 0;
  if (calls_->p2p == nullptr || one == nullptr || other == nullptr ||
      calls_->p2p(one, other, kP2pRead, &status) != kSuccess) {
    return {};
  }
  return std::string(obstacle(status));
}

}  // namespace kvferry::cli::doctor
