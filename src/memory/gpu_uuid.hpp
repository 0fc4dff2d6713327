#pragma once

#include <string>

#include "memory/region.hpp"

namespace kvferry::memory {

// "GPU-8a3c...": as nvidia-smi -L prints it and CUDA_VISIBLE_DEVICES takes it.
std::string format_uuid(const GpuUuid& gpu);

}  // namespace kvferry::memory
