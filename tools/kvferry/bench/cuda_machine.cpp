#include <fmt/format.h>

#include <fstream>
#include <string>

#include "bench/topology.hpp"
#include "kvferry/pool.hpp"
#include "memory/cuda_check.hpp"
#include "memory/cuda_device.hpp"
#include "memory/gpu_uuid.hpp"
#include "memory/pool_impl.hpp"

namespace kvferry::cli::bench {
namespace {

// "580.95.05": the first word of the module's own line that is a version.
std::string module_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  for (std::string word; file >> word;) {
    const bool version = word.find('.') != std::string::npos &&
                         word.find_first_not_of("0123456789.") == std::string::npos;
    if (version) return word;
  }
  return {};
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// NVLink carries native atomics between GPUs, PCIe does not: the one sign of it the runtime gives.
Topology::PeerLink peer_link(std::size_t from, std::size_t to) {
  const int a = static_cast<int>(from), b = static_cast<int>(to);
  Topology::PeerLink peer{from, to, "", ""};
  if (!cuda::can_reach(a, b) || !cuda::can_reach(b, a)) {
    peer.why = "the driver gives no peer access between them";
    return peer;
  }
  int atomics = 0;
  cuda::check(cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, a, b),
              "cannot ask about the link between two GPUs");
  peer.link = atomics != 0 ? "nvlink" : "pcie_peer";
  return peer;
}

}  // namespace

void add_gpus(Topology& topology) {
  const int count = cuda_device_count(&topology.no_gpus);
  for (int i = 0; i < count; ++i) {
    const cuda::DeviceGuard guard(i);
    std::size_t free_bytes = 0, all = 0;
    cuda::check(cudaMemGetInfo(&free_bytes, &all), "cannot ask for free GPU memory");
    topology.gpus.push_back({Device::cuda(i).to_string(), cuda::device_info(i).sm_count, free_bytes,
                             cuda::is_shared_by_mps(i)});
  }
  for (std::size_t from = 0; from < topology.gpus.size(); ++from) {
    for (std::size_t to = 0; to < topology.gpus.size(); ++to) {
      if (from != to) topology.peers.push_back(peer_link(from, to));
    }
  }
}

void add_gpus(Machine& machine) {
  const int count = cuda_device_count();
  if (count == 0) return;
  int driver = 0, runtime = 0;
  cuda::check(cudaDriverGetVersion(&driver), "cannot ask for the driver's version");
  cuda::check(cudaRuntimeGetVersion(&runtime), "cannot ask for the runtime's version");
  const std::string module = module_version();
  machine.driver =
      fmt::format("{}{}CUDA {}", module, module.empty() ? "" : ", ", version_text(driver));
  machine.cuda_runtime = version_text(runtime);
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, i), "cannot ask for a GPU's properties");
    char pci[32] = {};
    cuda::check(cudaDeviceGetPCIBusId(pci, sizeof pci, i), "cannot ask for a GPU's PCI address");
    machine.gpus.push_back({Device::cuda(i).to_string(), properties.name,
                            memory::format_uuid(memory::device_uuid(i)), pci,
                            static_cast<std::uint32_t>(properties.multiProcessorCount),
                            properties.totalGlobalMem, cuda::is_shared_by_mps(i)});
  }
}

}  // namespace kvferry::cli::bench
