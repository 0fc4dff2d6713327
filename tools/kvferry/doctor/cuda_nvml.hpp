#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// What only NVIDIA's management library tells: NVLinks, MIG, ECC, all GPUs of the machine. It comes
// with the driver (libnvidia-ml.so.1) and is opened at run time.
namespace kvferry::cli::doctor {

class Nvml {
 public:
  using Gpu = void*;  // nvmlDevice_t

  // nullptr where it cannot be had; `why` says why.
  static std::unique_ptr<Nvml> open(std::string& why);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::string driver_version() const;
  std::vector<std::string> uuids() const;
  // By PCI address, "0000:1b:00.0"; nullptr: not known to it.
  Gpu find(const std::string& pci) const;
  std::optional<bool> ecc(Gpu gpu) const;
  std::optional<bool> mig(Gpu gpu) const;
  std::optional<std::uint64_t> free_memory(Gpu gpu) const;
  std::optional<int> active_nvlinks(Gpu gpu) const;
  std::optional<int> sm_clock_mhz(Gpu gpu) const;
  std::optional<int> max_sm_clock_mhz(Gpu gpu) const;
  // Whether the two are joined by NVLink, directly or through switches.
  bool joined_by_nvlink(Gpu one, Gpu other) const;
  // Links from one straight into the other; 0 where switches stand between.
  int direct_nvlinks(Gpu one, Gpu other) const;
  // "one PCIe switch", "the CPU's host bridge"; empty where it does not say.
  std::string pcie_way(Gpu one, Gpu other) const;
  // Why kernels on one cannot read the other; empty: they can, or it does not say.
  std::string read_obstacle(Gpu one, Gpu other) const;

 private:
  struct Calls;
  explicit Nvml(std::unique_ptr<Calls> calls) noexcept;
  std::unique_ptr<Calls> calls_;
};

}  // namespace kvferry::cli::doctor
