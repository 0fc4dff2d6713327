#pragma once

#include <vector>

#include "doctor/check.hpp"
#include "doctor/facts.hpp"

// Turns facts into checks. Pure: the same facts give the same checks, whatever machine this is.
namespace kvferry::cli::doctor {

std::vector<Check> judge_system(const SystemFacts& facts);
std::vector<Check> judge_memory(const MemoryFacts& facts);
// `pinning_failed`: host memory could not be shared with a GPU when it was tried.
std::vector<Check> judge_limits(const LimitFacts& facts, bool has_gpu, bool pinning_failed);
std::vector<Check> judge_cpu(const CpuFacts& facts);
std::vector<Check> judge_kernel(const KernelFacts& facts);
std::vector<Check> judge_socket(const SocketFacts& facts);
std::vector<Check> judge_network(const NetworkFacts& facts);
std::vector<PathState> judge_network_paths(const Facts& facts);
std::vector<Check> judge_driver(const NvidiaFacts& nvidia, const GpuFacts& gpus);
std::vector<Check> judge_gpu(const GpuDevice& gpu, const CpuFacts& cpu);
std::vector<Check> judge_peers(const GpuFacts& gpus);
std::vector<Check> judge_sharing(const SharingFacts& sharing, const GpuFacts& gpus);
std::vector<PathState> judge_paths(const Facts& facts);

Diagnosis diagnose(const Facts& facts);

}  // namespace kvferry::cli::doctor
