#pragma once

#include "doctor/facts.hpp"

// Reads the system; judges nothing, throws nothing for what cannot be read.
namespace kvferry::cli::doctor {

// `root` stands before every path of /proc, /sys and / that is read, for tests.
SystemFacts probe_system(const std::string& root = "");
MemoryFacts probe_memory(const std::string& root = "");
LimitFacts probe_limits();
CpuFacts probe_cpu(const std::string& root = "");
// Tries each thing on descriptors and processes of its own.
KernelFacts probe_kernel(const std::string& root = "");
SocketFacts probe_socket();
NvidiaFacts probe_nvidia(const std::string& root = "");
NetworkFacts probe_network(const std::string& root = "");
HostFacts probe_host();

// Asks the NVIDIA driver: can take seconds, and hang where the driver does.
GpuFacts probe_gpus();
// Whether this build has CUDA at all.
bool built_with_cuda() noexcept;

}  // namespace kvferry::cli::doctor
