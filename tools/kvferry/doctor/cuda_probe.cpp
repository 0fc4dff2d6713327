#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "doctor/cuda_nvml.hpp"
#include "doctor/probes.hpp"
#include "doctor/read_file.hpp"
#include "kvferry/error.hpp"
#include "kvferry/pool.hpp"
#include "memory/cuda_device.hpp"
#include "memory/cuda_driver.hpp"
#include "memory/gpu_uuid.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::cli::doctor {
namespace {

// CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED, which toolkits before 12.4 do not name.
constexpr auto kFabricSupported = static_cast<CUdevice_attribute>(128);

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) (void)cudaGetLastError();
  return value;
}

bool has(CUdevice_attribute which, int device) {
  int value = 0;
  const cuda::Driver* const driver = cuda::find_driver();
  return driver != nullptr && driver->device_attribute(&value, which, device) == CUDA_SUCCESS &&
         value != 0;
}

std::string pci_address(int device) {
  std::array<char, 32> text{};
  if (cudaDeviceGetPCIBusId(text.data(), text.size(), device) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  std::string address = text.data();
  std::transform(address.begin(), address.end(), address.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return address;
}

// -1 in the file: the firmware does not say.
std::optional<int> numa_node(const std::string& pci) {
  const auto node = read_number("/sys/bus/pci/devices/" + pci + "/numa_node");
  return node ? std::optional<int>(static_cast<int>(*node)) : std::nullopt;
}

void ask_nvml(const Nvml& nvml, GpuDevice& gpu) {
  const Nvml::Gpu handle = nvml.find(gpu.pci);
  gpu.memory_free = nvml.free_memory(handle);
  gpu.ecc = nvml.ecc(handle);
  gpu.mig = nvml.mig(handle);
  gpu.nvlinks = nvml.active_nvlinks(handle);
  gpu.clock_mhz = nvml.sm_clock_mhz(handle);
  gpu.max_clock_mhz = nvml.max_sm_clock_mhz(handle);
}

GpuDevice describe(int device, const Nvml* nvml) {
  GpuDevice gpu;
  gpu.ordinal = device;
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess) {
    gpu.name = properties.name;
    gpu.memory_bytes = properties.totalGlobalMem;
  } else {
    (void)cudaGetLastError();
  }
  gpu.uuid = memory::format_uuid(memory::device_uuid(device));
  gpu.pci = pci_address(device);
  gpu.compute_major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  gpu.compute_minor = attribute(cudaDevAttrComputeCapabilityMinor, device);
  gpu.sms = attribute(cudaDevAttrMultiProcessorCount, device);
  gpu.mps = cuda::is_shared_by_mps(device);
  gpu.compute_mode = attribute(cudaDevAttrComputeMode, device);
  gpu.ecc = attribute(cudaDevAttrEccEnabled, device) != 0;
  gpu.vmm = has(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device);
  gpu.posix_fd = has(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, device);
  gpu.fabric = has(kFabricSupported, device);
  gpu.gpu_direct_rdma = has(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, device);
  gpu.numa_node = numa_node(gpu.pci);
  if (nvml != nullptr) {
    const std::optional<bool> ecc = gpu.ecc;
    ask_nvml(*nvml, gpu);
    if (!gpu.ecc) gpu.ecc = ecc;
  }
  return gpu;
}

PeerLink link_between(const GpuDevice& from, const GpuDevice& to, const Nvml* nvml) {
  PeerLink peer;
  peer.from = from.ordinal;
  peer.to = to.ordinal;
  peer.access = cuda::can_reach(from.ordinal, to.ordinal);
  int atomics = 0;
  if (cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, from.ordinal,
                                to.ordinal) != cudaSuccess) {
    (void)cudaGetLastError();
  }
  peer.native_atomics = atomics != 0;
  if (nvml == nullptr) return peer;
  const Nvml::Gpu one = nvml->find(from.pci), other = nvml->find(to.pci);
  if (nvml->joined_by_nvlink(one, other)) {
    peer.link = "nvlink";
    peer.links = nvml->direct_nvlinks(one, other);
    // Through switches every link of a GPU leads to every other one.
    if (peer.links == 0) peer.links = std::min(from.nvlinks.value_or(0), to.nvlinks.value_or(0));
    return peer;
  }
  peer.link = "pcie";
  peer.note = peer.access ? nvml->pcie_way(one, other) : nvml->read_obstacle(one, other);
  return peer;
}

}  // namespace

bool built_with_cuda() noexcept { return true; }

GpuFacts probe_gpus() {
  GpuFacts facts;
  facts.built = true;
  if (cudaDriverGetVersion(&facts.cuda_driver) != cudaSuccess) (void)cudaGetLastError();
  if (cudaRuntimeGetVersion(&facts.cuda_runtime) != cudaSuccess) (void)cudaGetLastError();
  const std::unique_ptr<Nvml> nvml = Nvml::open(facts.nvml_missing);
  if (nvml != nullptr) {
    facts.driver = nvml->driver_version();
    facts.installed = nvml->uuids();
  }
  const int count = cuda_device_count(&facts.why_none);
  for (int device = 0; device < count; ++device) {
    facts.devices.push_back(describe(device, nvml.get()));
  }
  for (const GpuDevice& from : facts.devices) {
    for (const GpuDevice& to : facts.devices) {
      if (from.ordinal != to.ordinal) facts.peers.push_back(link_between(from, to, nvml.get()));
    }
  }
  return facts;
}

}  // namespace kvferry::cli::doctor
