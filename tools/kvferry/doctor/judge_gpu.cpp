#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "doctor/judge.hpp"
#include "doctor/visible_devices.hpp"
#include "quote.hpp"
#include "units.hpp"

namespace kvferry::cli::doctor {
namespace {

constexpr int kOldestArchitecture = 8;  // sm_80: the oldest that builds have kernels for
constexpr std::uint64_t kLittleMemory = std::uint64_t{1} << 30;  // a context in two processes each

std::string cuda_version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string on_off(const std::optional<bool>& value) {
  return !value ? "unknown" : *value ? "on" : "off";
}

bool driver_is_here(const NvidiaFacts& nvidia, const GpuFacts& gpus) {
  return !nvidia.module_version.empty() || !nvidia.nodes.empty() || !gpus.installed.empty();
}

Check without_cuda(const NvidiaFacts& nvidia) {
  Check check{"gpu",
              "CUDA",
              State::ok,
              "not in this build; no NVIDIA driver here either",
              "kvferry moves blocks between host memories",
              {}};
  if (!driver_is_here(nvidia, {})) return check;
  check.state = State::warning;
  check.value =
      fmt::format("not in this build, but this machine has {} and {}",
                  nvidia.module_version.empty() ? std::string("an NVIDIA driver")
                                                : "the NVIDIA driver " + nvidia.module_version,
                  counted(nvidia.nodes.size(), "GPU"));
  check.meaning = "no GPU memory can be moved with this program";
  check.advice = "rebuild it where nvcc is found (cmake -DKVFERRY_CUDA=ON), or use scripts/bundle";
  return check;
}

Check no_gpu(const NvidiaFacts& nvidia, const GpuFacts& gpus) {
  Check check{
      "gpu", "CUDA", State::note, gpus.why_none, "kvferry moves blocks between host memories", {}};
  if (!driver_is_here(nvidia, gpus)) return check;
  // Hidden on purpose is no finding.
  const bool hidden = nvidia.visible_devices &&
                      (nvidia.visible_devices->empty() || *nvidia.visible_devices == "-1" ||
                       *nvidia.visible_devices == "NoDevFiles");
  if (hidden) {
    check.advice = "unset CUDA_VISIBLE_DEVICES to use the GPUs";
    return check;
  }
  check.state = State::problem;
  check.meaning = "this machine has an NVIDIA driver, but no GPU can be used";
  check.advice =
      nvidia.nodes.empty()
          ? "containers: start with --gpus all (NVIDIA container toolkit); else: nvidia-smi"
          : "see what nvidia-smi says; update the driver, or reload its module";
  return check;
}

Check versions(const GpuFacts& gpus) {
  Check check{"gpu", "driver", State::ok, {}, {}, {}};
  check.value =
      fmt::format("{} (CUDA {}), runtime {}", gpus.driver.empty() ? "version unknown" : gpus.driver,
                  cuda_version(gpus.cuda_driver), cuda_version(gpus.cuda_runtime));
  return check;
}

Check nodes(const NvidiaFacts& nvidia) {
  Check check{"gpu", "device files", State::ok, fmt::format("{}", fmt::join(nvidia.nodes, " ")), {},
              {}};
  if (nvidia.closed_nodes.empty()) return check;
  check.state = State::problem;
  check.value = fmt::format("this user cannot open {}", fmt::join(nvidia.closed_nodes, ", "));
  check.meaning = "CUDA needs to read and write them";
  check.advice = "become a member of their group (ls -l /dev/nvidia*), or fix their mode";
  return check;
}

Check visible(const std::string& value, const GpuFacts& gpus) {
  Check check{"gpu", "CUDA_VISIBLE_DEVICES", State::ok, quote(value), {}, {}};
  const VisibleDevices devices = read_visible_devices(value, gpus.installed);
  if (value == "-1" || value == "NoDevFiles" || value.empty()) {
    check.meaning = "hides every GPU";
  } else if (!devices.twice.empty()) {
    check.state = State::problem;
    check.meaning = fmt::format("{} is there twice: CUDA then shows no GPU", quote(devices.twice));
    check.advice = "name each GPU once";
  } else if (!devices.bad.empty()) {
    check.state = State::warning;
    check.meaning = fmt::format(
        "{} names no GPU; CUDA ends the list there{}", quote(devices.bad.front()),
        devices.hidden.empty() ? ""
                               : fmt::format(" and hides {}", fmt::join(devices.hidden, ", ")));
    check.advice = gpus.installed.empty()
                       ? "use indices, or UUIDs as nvidia-smi -L prints them"
                       : fmt::format("use 0 to {}, or UUIDs as nvidia-smi -L prints them",
                                     gpus.installed.size() - 1);
  } else if (gpus.devices.size() < gpus.installed.size()) {
    check.meaning = fmt::format("shows {} of {} GPUs", gpus.devices.size(), gpus.installed.size());
  }
  return check;
}

Check compute_mode(const GpuDevice& gpu, const std::string& name) {
  Check check{"gpu", name + " compute mode", State::ok, "default", {}, {}};
  if (gpu.compute_mode == 0) return check;
  if (gpu.compute_mode != 2 && gpu.mps) {
    check.value = "exclusive to one process, which is MPS";
    return check;
  }
  check.state = State::problem;
  check.value = gpu.compute_mode == 2 ? "prohibited" : "exclusive to one process";
  check.meaning = "two processes cannot use this GPU together, as the sides of a transfer do";
  check.advice = fmt::format("as root: nvidia-smi -i {} -c DEFAULT (in exclusive mode, or use MPS)",
                             gpu.pci.empty() ? gpu.uuid : gpu.pci);
  return check;
}

// What several processes that copy on this GPU at once do to one another.
Check processes(const GpuDevice& gpu, const std::string& name) {
  Check check{"gpu", name + " processes", State::ok, "take turns (no MPS)", {}, {}};
  check.meaning =
      "several that copy at once on this GPU lose 130 us a turn; under MPS they do not "
      "(docs/performance.md)";
  if (!gpu.mps) return check;
  check.value = "run side by side (MPS)";
  check.meaning = "a fault in one of them ends the GPU work of all";
  return check;
}

Check mig(const GpuDevice& gpu, const std::string& name) {
  Check check{"gpu", name + " MIG", State::ok, on_off(gpu.mig), {}, {}};
  if (!gpu.mig.value_or(false)) return check;
  check.state = State::warning;
  check.meaning = "a process sees one instance only; instances reach neither NVLink nor other GPUs";
  check.advice = fmt::format(
      "both processes need the same instance (CUDA_VISIBLE_DEVICES=MIG-...), or as root: "
      "nvidia-smi "
      "-i {} -mig 0",
      gpu.pci.empty() ? gpu.uuid : gpu.pci);
  return check;
}

Check handles(const GpuDevice& gpu, const std::string& name) {
  Check check{"gpu", name + " handles", State::ok, {}, {}, {}};
  check.value =
      fmt::format("POSIX fd {}, fabric {}, GPUDirect RDMA {}", gpu.posix_fd ? "yes" : "no",
                  gpu.fabric ? "yes" : "no", gpu.gpu_direct_rdma ? "yes" : "no");
  if (gpu.vmm && gpu.posix_fd) return check;
  check.state = State::problem;
  check.meaning = "kvferry cannot allocate pools on it that other processes can map";
  check.advice =
      "attach memory from cudaMalloc instead (Pool::attach); WSL and some virtual GPUs have no "
      "more";
  return check;
}

std::string description(const GpuDevice& gpu) {
  std::string text = fmt::format("{}, {}", gpu.name, format_bytes(gpu.memory_bytes));
  if (gpu.memory_free) text += fmt::format(" ({} free)", format_bytes(*gpu.memory_free));
  text += fmt::format(", sm_{}{}, {} SMs, ECC {}", gpu.compute_major, gpu.compute_minor, gpu.sms,
                      on_off(gpu.ecc));
  if (gpu.clock_mhz && gpu.max_clock_mhz) {
    text += fmt::format(", {} of {} MHz", *gpu.clock_mhz, *gpu.max_clock_mhz);
  }
  if (gpu.numa_node) text += fmt::format(", NUMA node {}", *gpu.numa_node);
  return fmt::format("{}, {}, {}", text, gpu.pci, gpu.uuid);
}

void judge_place(Check& check, const GpuDevice& gpu, const CpuFacts& cpu) {
  if (!gpu.numa_node || cpu.nodes.size() < 2) return;
  const auto at = std::ranges::find(cpu.node_ids, *gpu.numa_node);
  if (at == cpu.node_ids.end() || check.state != State::ok) return;
  check.meaning = fmt::format("nearest cores: {}; this process may use {}",
                              cpu.nodes[static_cast<std::size_t>(at - cpu.node_ids.begin())],
                              cpu.usable_list.empty() ? "unknown ones" : cpu.usable_list);
}

}  // namespace

std::vector<Check> judge_driver(const NvidiaFacts& nvidia, const GpuFacts& gpus) {
  std::vector<Check> checks;
  if (!gpus.late.empty()) {
    checks.push_back(
        {"gpu", "driver", State::problem, gpus.late,
         "the NVIDIA driver does not answer: everything that uses CUDA hangs",
         "nvidia-smi; dmesg | grep -i -e xid -e nvrm; reset the GPU or restart the machine"});
  } else if (!gpus.built) {
    checks.push_back(without_cuda(nvidia));
  } else if (gpus.devices.empty()) {
    checks.push_back(no_gpu(nvidia, gpus));
  } else {
    checks.push_back(versions(gpus));
  }
  if (!gpus.built) return checks;
  if (!nvidia.nodes.empty() || !nvidia.closed_nodes.empty()) checks.push_back(nodes(nvidia));
  // Without a driver it decides nothing.
  if (nvidia.visible_devices && driver_is_here(nvidia, gpus)) {
    checks.push_back(visible(*nvidia.visible_devices, gpus));
  }
  if (!gpus.devices.empty() && !gpus.nvml_missing.empty()) {
    checks.push_back({"gpu", "NVML", State::note, gpus.nvml_missing,
                      "NVLinks, MIG and clocks cannot be shown",
                      "containers: NVIDIA_DRIVER_CAPABILITIES=compute,utility"});
  }
  return checks;
}

std::vector<Check> judge_gpu(const GpuDevice& gpu, const CpuFacts& cpu) {
  const std::string name = fmt::format("cuda:{}", gpu.ordinal);
  Check device{"gpu", name, State::ok, description(gpu), {}, {}};
  if (gpu.compute_major < kOldestArchitecture) {
    device.state = State::warning;
    device.meaning = "older than sm_80 (A100): this program has no kernels for it";
    device.advice =
        fmt::format("build with -DCMAKE_CUDA_ARCHITECTURES={}{}-real; it is not tested there",
                    gpu.compute_major, gpu.compute_minor);
  } else if (gpu.memory_free && *gpu.memory_free < kLittleMemory) {
    device.state = State::note;
    device.meaning = "hardly any memory is free: two processes alone need about 1 GiB";
    device.advice = "end what uses it: nvidia-smi shows the processes";
  }
  judge_place(device, gpu, cpu);
  return {std::move(device), handles(gpu, name), compute_mode(gpu, name), processes(gpu, name),
          mig(gpu, name)};
}

}  // namespace kvferry::cli::doctor
