// The GPU half of doctor in a build without CUDA.
#include "doctor/probes.hpp"
#include "kvferry/pool.hpp"

namespace kvferry::cli::doctor {

bool built_with_cuda() noexcept { return false; }

GpuFacts probe_gpus() {
  GpuFacts facts;
  (void)cuda_device_count(&facts.why_none);
  return facts;
}

}  // namespace kvferry::cli::doctor
